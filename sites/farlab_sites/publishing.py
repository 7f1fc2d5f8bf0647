"""The catalogue's `publishing`: who gets usage records, in which format, and by which way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from farlab_sites.fields import FilePath, Group, Label, Word
from farlab_sites.models import Model, refuse_duplicates
from farlab_sites.units import wrong

Records = Literal["cloud", "jobs", "summaries"]
MemoryUnit = Literal["bytes", "GB"]
Names = Literal["withheld", "global"]
_HOST = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d+)?$"
Host = Annotated[str, Field(max_length=260, pattern=_HOST)]


class Signing(Model):
    """The certificate that messages are signed with, and its key."""

    certificate: FilePath = Field(description="File of the certificate, PEM.")
    key: FilePath = Field(description="File of its key, PEM, readable by the publisher only.")


class Messaging(Model):
    """A topic of the ARGO Messaging Service."""

    host: Host = Field(description="The service's host, such as `msg.argo.grnet.gr`.")
    project: Word = Field(description="The project there.")
    topic: Word = Field(description="The topic that takes the records.")
    token_file: FilePath | None = Field(
        default=None, description="File with the token; absent: one is got with the certificate."
    )
    certificate: FilePath | None = Field(
        default=None, description="File of the grid certificate that gets a token, PEM."
    )
    key: FilePath | None = Field(default=None, description="File of that certificate's key, PEM.")
    token_port: int = Field(
        default=8443, strict=True, ge=1, le=65535, description="Where a certificate gets a token."
    )
    sign: Signing | None = Field(
        default=None, description="What signs messages; absent: the grid certificate."
    )
    ca: FilePath | None = Field(
        default=None, description="File of the authorities to trust, PEM; absent: the system's."
    )

    @model_validator(mode="after")
    def _can_ask_and_sign(self) -> Self:
        """Refuse a service that could not be asked, or would get messages without signature."""
        if (self.certificate is None) != (self.key is None):
            raise wrong("needs certificate and key together", 'give both "certificate:" and "key:"')
        if (self.token_file is None) == (self.certificate is None):
            fix = 'keep "token_file:", or "certificate:" with "key:"'
            raise wrong("needs a token or a grid certificate, and not both", fix)
        if self.sign is None and self.certificate is None:
            fix = 'add "sign:" with "certificate:" and "key:"'
            raise wrong("has nothing to sign messages with", fix)
        return self

    @property
    def signer(self) -> Signing:
        """What signs the messages."""
        if self.sign:
            return self.sign
        if not self.certificate or not self.key:
            raise ValueError("no certificate to sign with")
        return Signing(certificate=self.certificate, key=self.key)


class Target(Model):
    """One receiver of usage records."""

    name: Label = Field(description="Name of the target; what was sent is remembered under it.")
    sites: Annotated[tuple[Label, ...], Field(min_length=1)] | None = Field(
        default=None, description="Sites whose usage it gets; absent: all with an accounting name."
    )
    records: Records = Field(
        description="`cloud` (Cloud Usage Record v0.4), `jobs` (individual job records v0.4) or "
        "`summaries` (a month by user and VO, with a sync message)."
    )
    gpu: bool = Field(
        default=False,
        strict=True,
        description="Send GPU records (draft 4) beside cloud records; ask the receiver first.",
    )
    memory: MemoryUnit = Field(
        default="bytes", description="Unit of a cloud record's memory: `bytes` or `GB`."
    )
    names: Names = Field(
        default="withheld", description="`global`: who used it, by name; `withheld`: no name."
    )
    vo: Group | None = Field(
        default=None, description="VO of users without any; absent: their records are rejected."
    )
    folder: FilePath | None = Field(
        default=None, description="A queue of APEL's SSM, which sends what lies there."
    )
    ams: Messaging | None = Field(
        default=None, description="The ARGO Messaging Service, without an SSM between."
    )

    @model_validator(mode="after")
    def _goes_one_way(self) -> Self:
        """Refuse a target with no way or two, and GPU records without what they belong to."""
        if (self.folder is None) == (self.ams is None):
            raise wrong("needs exactly one of folder and ams", 'keep "folder:" or "ams:"')
        if self.gpu and self.records != "cloud":
            fix = 'write "records: cloud", or remove "gpu:"'
            raise wrong("has GPU records without cloud records", fix, ("gpu",))
        return self


def target_problem(
    targets: Sequence[Target], sites: Collection[str]
) -> tuple[str, str, tuple[str | int, ...]] | None:
    """Return what is wrong with a catalogue's targets, the fix, and where; None if nothing."""
    refuse_duplicates("publishing", targets)
    for number, target in enumerate(targets):
        for index, site in enumerate(target.sites or ()):
            if site not in sites:
                fix = f"name one of {', '.join(sites)}"
                return f'there is no site "{site}"', fix, ("publishing", number, "sites", index)
    return None
