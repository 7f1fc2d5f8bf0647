"""FarlabSpawner: a KubeSpawner that also starts servers at sites without Kubernetes.

KubeSpawner makes the pod manifest from the user's choice, and every server is announced to the hub
service, which follows it from then on (see `server_workload`). With the carrier `kubernetes`
KubeSpawner makes the pod as well (see `kubernetes`); with the carrier `direct` the hub service
hands the manifest to the site's plugin.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from farlab_sites.catalogue import Catalogue
from farlab_sites.profiles import Choice, profile_list
from sqlalchemy.orm import object_session
from traitlets import Unicode, default

from . import attempts
from .endings import Ending
from .errors import LinkOnlyPrefills, SpawnRefused, log_in_one_line
from .form import FormRequest, form_view
from .known_sites import known_sites
from .kubernetes import PodSpawner
from .options import Options, Prefill, checked, options_from_form, options_from_query
from .pages import form_html
from .request import Job, Owner, announcement, outline, workload_request
from .resume import take_up
from .server_workload import ServerWorkload
from .service import HubService, ServiceError, hub_service
from .start_view import StartView, stage_views
from .words import duration, summary

HEAD_START_S = 5.0
"""Our own time limit ends before JupyterHub's, whose message says nothing."""


class FarlabSpawner(PodSpawner):
    """Starts a user's server at the site that the user chose on the form.

    `farlab_spawner.configure` sets what a hub needs; the traits here are for hubs that want
    something else.
    """

    catalogue_file = Unicode(
        "sites.yaml",
        config=True,
        help="The catalogue of sites; read again when it changes.",
    )
    service_url = Unicode(
        "http://127.0.0.1:8092",
        config=True,
        help="Where the hub itself reaches the Farlab service, without the hub's base URL.",
    )
    service_token_file = Unicode(
        "farlab-spawner.token",
        config=True,
        help="File with the API token that the Farlab service knows the spawner by.",
    )
    relay_url = Unicode(
        "ws://127.0.0.1:8091",
        config=True,
        help="""
        What the agent in a job dials, for sites whose catalogue entry has no `relay.url`.

        Where the sites are other machines this is the hub's public address of the relay, such as
        `wss://hub.example.org/relay`.
        """,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        log_in_one_line(self.log)
        self._workload = ServerWorkload(self.service, self.log)
        self._is_kubernetes = False  # whether KubeSpawner makes the pod of the server, if any
        self._prefill = Prefill({})
        self._pristine: dict[str, Any] = {}

    @property
    def service(self) -> HubService:
        """The hub service, shared by all spawners of this hub."""
        base = self.hub.base_url.removesuffix("hub/")
        return hub_service(f"{self.service_url}{base}services/farlab/", self.service_token_file)

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue as it is now."""
        return known_sites(self.catalogue_file).catalogue

    @property
    def groups(self) -> list[str]:
        """The user's groups on this hub."""
        return [group.name for group in self.user.groups]

    @property
    def choice(self) -> Choice:
        """What the user chose, checked; SpawnRefused where it is not offered to this user."""
        return checked(self.catalogue, self.groups, self.user_options)

    # -- the form ---------------------------------------------------------------------------------

    @default("options_form")
    def _default_options_form(self) -> Any:
        return FarlabSpawner._show_form

    async def _show_form(self) -> str:
        """Return the form's HTML. Also without a site it is not empty: JupyterHub would spawn."""
        sites = self.catalogue.open_to(self.groups)
        names = ", ".join(self._prefill.ignored)
        notes = (f"The link asked for something that is not offered here: {names}.",)
        view = form_view(
            FormRequest(
                sites=sites,
                facts=await self._site_facts(),
                options=self._first_selected(),
                notes=notes if names else (),
                ending=self._workload.ending,
                groups=tuple(self.groups),
                start_limit=self.start_timeout,
            )
        )
        self._prefill = Prefill({})
        return form_html(view)

    async def _site_facts(self) -> dict[str, dict[str, Any]] | None:
        """Return what the hub service knows of the sites now; None where it does not answer."""
        try:
            entries = await self.service.sites(self.user.name, self.groups)
        except ServiceError as error:
            self.log.warning("The form has no live facts: %s", error)
            return None
        return {str(entry.get("name")): entry for entry in entries}

    def _first_selected(self) -> Options:
        """Return what the form selects: what was just refused, a link's wish, the last choice."""
        refused = attempts.take(self.user.id)
        handler = self.handler
        if refused and not (handler and handler.request.method == "GET" and not handler._finished):
            return refused
        return self._prefill.options or self._remembered()

    def _remembered(self) -> Options:
        """Return the last choice for this server, or else for the user's newest other server."""
        rows = self.user.orm_user._orm_spawners
        mine = [row for row in rows if row.name == self.name]
        others = sorted(rows, key=lambda row: str(row.last_activity or ""), reverse=True)
        for row in [*mine, *others]:
            if isinstance(row.user_options, Mapping) and row.user_options:
                return {k: v for k, v in row.user_options.items() if isinstance(v, str)}
        return {}

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return self._read_form

    def _read_form(self, form: Mapping[str, list[str]]) -> Options:
        """Return the user_options of a form that was sent, checked and complete."""
        options = options_from_form(form)
        attempts.keep(self.user.id, options)
        return checked(self.catalogue, self.groups, options).options

    def options_from_query(self, query: Mapping[str, list[str]]) -> Options:
        """Never start a server because of a link: keep what it asks for, and show the form."""
        self._prefill = options_from_query(self.catalogue, self.groups, query)
        raise LinkOnlyPrefills

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return lambda spawner, _options: spawner.choice and None

    # -- the pod ----------------------------------------------------------------------------------

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return ["jupyterhub-singleuser"]

    @default("profile_list")
    def _default_profile_list(self) -> Any:
        return lambda spawner: profile_list(spawner.catalogue.open_to(spawner.groups))

    async def load_user_options(self) -> None:
        """Apply the choice to the pod's traits; nothing of an earlier choice stays."""
        for name, value in self._pristine.items():
            setattr(self, name, value)
        chosen = self.choice
        self._pristine = {name: copy.deepcopy(getattr(self, name)) for name in chosen.part}
        self.user_options = chosen.options
        await super().load_user_options()

    # -- the server -------------------------------------------------------------------------------

    async def start(self) -> str:
        """Start the server where the user chose; return its address once JupyterLab answers."""
        self._is_kubernetes = self.choice.site.carrier.kubernetes is not None
        await self.load_user_options()
        job = await self._new_job()
        if self._is_kubernetes:
            return await self._start_in_kubernetes(job)
        request = workload_request(job, self._owner, await self._pod())
        return await self._workload.start(request, self._patience, self._announced)

    async def _start_in_kubernetes(self, job: Job) -> str:
        self._job = job
        try:
            request = announcement(job, self._owner, outline(await self._pod()))
            return await self._workload.start(
                request, self._patience, self._announced, self._make_pod
            )
        finally:
            self._job = None

    async def _new_job(self) -> Job:
        """Begin a server that the hub service will know."""
        chosen = self.choice
        await self._workload.clear_out(self.user.name, self.name)
        self._workload.prepare(str(uuid.uuid4()), chosen.site.title)
        self._save()
        return Job(
            uid=self._workload.uid,
            secret=secrets.token_urlsafe(32),
            chosen=chosen,
            relay_url=self.relay_url,
            api_url=self.service.url,
        )

    @property
    def _owner(self) -> Owner:
        return Owner(self.user.name, self.groups, self.name, self.namespace)

    async def poll(self) -> int | None:
        """Return None while the server runs, else its exit code."""
        if self._spawn_pending:
            return None  # whoever waits for the start learns of its end, and cleans up
        code = await self._workload.poll()
        if code is None:
            self._follow(self._workload.address)
        return code

    async def stop(self, now: bool = False) -> None:
        """Stop the server, at whatever point of its life it is."""
        await self._workload.stop()
        if self._is_kubernetes:
            await self._stop_pod(now)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens while the server starts."""
        async for step in self._workload.feed.read():
            yield step.event()

    async def get_url(self) -> str:
        """Return the server's address; JupyterHub asks for it after a restart."""
        if self._workload.uid and not self._workload.ready and not self._spawn_future:
            take_up(self)
        url: str = await super().get_url()
        return url

    async def go_on(self) -> None:
        """Wait for a server that was still starting when the hub was restarted."""
        self._follow(await self._workload.resume(self._patience) or await self._pod_address())
        self._save()

    @property
    def _patience(self) -> float:
        """How long to wait for a start, in seconds: until shortly before JupyterHub gives up."""
        limit: float = self.start_timeout
        return max(limit - HEAD_START_S, limit / 2)

    async def _pod(self) -> dict[str, Any]:
        """Return KubeSpawner's manifest as JSON."""
        manifest = await self.get_pod_manifest()
        pod: dict[str, Any] = self.api.api_client.sanitize_for_serialization(manifest)
        return pod

    def _announced(self, address: str) -> None:
        """Keep the address at once: a hub that is restarted now still finds the server."""
        self._follow(address)
        self._save()

    def _follow(self, address: str) -> None:
        """Let the hub's route lead to the server's address, which a restart may have changed."""
        parts = urlsplit(address)
        if not self.server or not parts.hostname or not parts.port:
            return
        if (self.server.ip, self.server.port) != (parts.hostname, parts.port):
            self.server.ip, self.server.port = parts.hostname, parts.port
            self._commit()

    # -- what the hub's pages show ----------------------------------------------------------------

    @property
    def last_ending(self) -> Ending | None:
        """How this user's server ended last, until it is started again."""
        return self._workload.ending

    @property
    def start_view(self) -> StartView:
        """What the progress page shows of the server that is starting."""
        steps = self._workload.feed.steps
        user, server = quote(self.user.name, safe=""), quote(self.name, safe="")
        api = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
        return StartView(
            title=f"Starting JupyterLab at {self._workload.site or 'your site'}",
            summary=self._summary(),
            stages=stage_views(steps),
            log=steps[-1].log_tail if steps else "",
            limit=duration(self.start_timeout),
            api_url=f"{self.hub.base_url}api/{api}",
            form_url=f"{self.hub.base_url}spawn/{user}" + (f"/{server}" if server else ""),
        )

    def _summary(self) -> str:
        """Return the choice in one line; empty when the catalogue no longer has it."""
        try:
            return summary(self.choice)
        except SpawnRefused:
            return ""

    # -- what outlives the hub --------------------------------------------------------------------

    def _save(self) -> None:
        """Write the state now: JupyterHub does it only after the start."""
        self.orm_spawner.state = self.get_state()
        self._commit()

    def _commit(self) -> None:
        """Commit what was set on JupyterHub's own rows (`Spawner.db` is deprecated)."""
        if session := object_session(self.orm_spawner):
            session.commit()

    def get_state(self) -> dict[str, Any]:
        """Return what the hub's database keeps."""
        state: dict[str, Any] = super().get_state()
        return state | {"farlab": self._workload.saved() | {"kubernetes": self._is_kubernetes}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a server after a hub restart."""
        super().load_state(state)
        if isinstance(saved := state.get("farlab"), dict):
            self._workload.restore(saved)
            self._is_kubernetes = bool(saved.get("kubernetes"))

    def clear_state(self) -> None:
        """Forget a server that has ended; how it ended is shown on the next form."""
        super().clear_state()
        self._workload.forget()
        self._is_kubernetes = False
