"""Where a user's keys for an object store come from: typed, exchanged for a token, or none."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from ..identities import Typed
from ..lake import LakeError
from ..tokens import MARGIN, TokenSource
from .s3 import Keys, Store
from .s3_errors import s3_failures_of

SESSION = 3600  # seconds that exchanged keys are to work


class NoKeys:
    """For a store that is open to everyone."""

    async def keys(self) -> Keys | None:
        """Return none."""
        return None


class TypedKeys:
    """An access key and its secret."""

    def __init__(self, title: str, typed: Typed | None) -> None:
        self._title = title
        self._typed = typed

    async def keys(self) -> Keys | None:
        """Return what was typed; raise LakeError if nothing was."""
        if self._typed is None:
            words = f"You have typed no keys for {self._title}."
            raise LakeError("login", words, "Log in to it with access key and secret.")
        return Keys(self._typed.username, self._typed.password)


class TokenKeys:
    """Temporary keys that the store's STS gives for a token (AssumeRoleWithWebIdentity)."""

    def __init__(
        self, title: str, store: Store, tokens: TokenSource, audience: str, scope: str
    ) -> None:
        self._title = title
        self._store = store
        self._tokens = tokens
        self._wanted = audience, scope
        self._kept: Keys | None = None

    async def keys(self) -> Keys | None:
        """Return keys that still work for a while."""
        kept = self._kept
        if kept is None or (kept.ends is not None and kept.ends - MARGIN < time.time()):
            token = await self._tokens.token(*self._wanted)
            with s3_failures_of(self._title, self._store.endpoint):
                kept = await asyncio.to_thread(partial(_exchanged, self._store, token.value))
            self._kept = kept
        return kept


def _exchanged(store: Store, token: str) -> Keys:
    client = boto3.session.Session().client(
        "sts",
        endpoint_url=store.endpoint,
        region_name=store.region or "us-east-1",
        verify=store.ca or True,
        config=Config(signature_version=UNSIGNED, connect_timeout=10, read_timeout=60),
    )
    found: Any = client.assume_role_with_web_identity(
        RoleArn="arn:aws:iam:::role/farlab",
        RoleSessionName="farlab",
        WebIdentityToken=token,
        DurationSeconds=SESSION,
    )["Credentials"]
    ends = found["Expiration"].timestamp()
    return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], ends)
