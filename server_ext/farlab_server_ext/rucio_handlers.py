"""What only a Rucio can do, over HTTP: replicas, rules, metadata, datasets."""

from __future__ import annotations

from dataclasses import asdict

from jupyter_server.auth.decorator import authorized
from tornado import web

from .datalake.registry import Lakes
from .datalake_handlers import LAKE, LakeHandler, mapping, text, texts, whole

RULE = rf"{LAKE}/rules/([0-9a-f]+)"


class ReplicasHandler(LakeHandler):
    """`lakes/NAME/replicas`: where files are, for the rows on the screen."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Answer with the replicas of each of `paths`, which are files."""
        found = await self.rucio(name).replicas_of(texts(self.body(), "paths"))
        self.reply({path: [asdict(one) for one in replicas] for path, replicas in found.items()})


class SharesHandler(LakeHandler):
    """`lakes/NAME/shares`: how much of the dataset at `path` is at each RSE."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Answer with files and bytes at each RSE."""
        shares = await self.rucio(name).shares_of(self.argument("path"))
        self.reply([asdict(share) for share in shares])


class RulesHandler(LakeHandler):
    """`lakes/NAME/rules`."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """List the rules for `path`, or the user's own."""
        lake, path = self.rucio(name), self.argument("path")
        rules = await (lake.rules_of(path) if path else lake.rules.mine())
        self.reply([asdict(rule) for rule in rules])

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Have `path` brought to `rse`, or else to this site, for `days`, or for good."""
        body = self.body()
        days = None if body.get("days") is None else whole(body, "days", None)
        rse, comment = text(body, "rse", ""), text(body, "comment", "")
        rule = await self.rucio(name).make_available(text(body, "path"), days, rse, comment)
        self.reply(asdict(rule), 201)


class RuleHandler(LakeHandler):
    """`lakes/NAME/rules/ID`."""

    @web.authenticated
    @authorized
    async def get(self, name: str, rule: str) -> None:
        """Answer with a rule's progress, and why files are missing."""
        rules = self.rucio(name).rules
        found = await rules.one(rule)
        reasons = await rules.why(rule) if found.state not in ("ok", "replicating") else []
        self.reply({**asdict(found), "reasons": reasons})

    @web.authenticated
    @authorized
    async def patch(self, name: str, rule: str) -> None:
        """Let it end `days` from now, or have it tried again (`retry`)."""
        rules, body = self.rucio(name).rules, self.body()
        if body.get("retry") is True:
            await rules.retry(rule)
        if "days" in body:
            await rules.extend(rule, whole(body, "days", None))
        self.reply(asdict(await rules.one(rule)))

    @web.authenticated
    @authorized
    async def delete(self, name: str, rule: str) -> None:
        """End it."""
        await self.rucio(name).rules.remove(rule)
        self.set_status(204)
        self.finish()


class MetadataHandler(LakeHandler):
    """`lakes/NAME/metadata`."""

    @web.authenticated
    @authorized
    async def patch(self, name: str) -> None:
        """Set the keys of `changes` at `path`, or those of `many` paths; null removes one."""
        body, lake = self.body(), self.rucio(name)
        if "many" in body:
            many = mapping(body, "many")
            await lake.set_many({path: mapping(many, path) for path in many})
            self.reply({"changed": len(many)})
            return
        path = text(body, "path")
        await lake.set_metadata(path, mapping(body, "changes"))
        self.reply(asdict(await lake.details(path)))


class LifetimeHandler(LakeHandler):
    """`lakes/NAME/lifetime`: when a data identifier ends."""

    @web.authenticated
    @authorized
    async def patch(self, name: str) -> None:
        """Let the one at `path` end `days` from now; null: never."""
        body, lake = self.body(), self.rucio(name)
        path = text(body, "path")
        await lake.keep(path, None if body.get("days") is None else whole(body, "days", None))
        self.reply(asdict(await lake.details(path)))


class AttachmentsHandler(LakeHandler):
    """`lakes/NAME/attachments`: what is in the dataset or container at `path`."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Put `children` into it."""
        body = self.body()
        await self.rucio(name).attach(text(body, "path"), texts(body, "children"))
        self.reply({}, 201)

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Take `children` out of it."""
        body = self.body()
        await self.rucio(name).detach(text(body, "path"), texts(body, "children"))
        self.set_status(204)
        self.finish()


class ClosedHandler(LakeHandler):
    """`lakes/NAME/closed`: datasets that nothing can be put into any more."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Close the one at `path`."""
        await self.rucio(name).close_did(text(self.body(), "path"))
        self.reply({}, 201)


def rucio_routes(lakes: Lakes) -> list[tuple[str, type[LakeHandler], dict[str, Lakes]]]:
    """Return the handlers with their paths."""
    paths: dict[str, type[LakeHandler]] = {
        rf"{LAKE}/replicas": ReplicasHandler,
        rf"{LAKE}/shares": SharesHandler,
        rf"{LAKE}/rules": RulesHandler,
        RULE: RuleHandler,
        rf"{LAKE}/metadata": MetadataHandler,
        rf"{LAKE}/lifetime": LifetimeHandler,
        rf"{LAKE}/attachments": AttachmentsHandler,
        rf"{LAKE}/closed": ClosedHandler,
    }
    return [(path, handler, {"lakes": lakes}) for path, handler in paths.items()]
