"""A real Rucio server of the tests' own, with PostgreSQL and memcached, on loopback.

    with RunningPostgres() as postgres, RunningRucio(folder, postgres) as rucio:
        rucio.admin.add_rse("VEGA", rucio.folder / "vega")
        rucio.url

Several can share one PostgreSQL: each has a database of its own. `kill` and `start` are a server
that crashed and comes back.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from farlab_real.authority import Authority
from farlab_real.keycloak import RunningKeycloak
from farlab_real.keycloak_realms import SECRET
from farlab_real.postgres import RunningPostgres
from farlab_real.processes import Process, free_ports
from farlab_real.rucio_admin import RucioAdmin
from farlab_real.rucio_conf import ROOT_PASSWORD, VENV, Settings, write

EMPTY = "an_empty_rucio"
APPLICATION = "rucio.web.rest.main:application"


class RunningRucio:
    """A server with an empty lake, and its root account's calls in `admin`."""

    def __init__(
        self,
        folder: Path,
        postgres: RunningPostgres,
        *,
        name: str = "rucio",
        any_name: bool = False,
        workers: int = 1,
        authority: Authority | None = None,
        login: RunningKeycloak | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._postgres, self._name = postgres, name
        port, cache_port = free_ports(2)
        self.url = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
        self._cache_port = cache_port
        self.database = postgres.url.replace("/postgres?", f"/{name}?")
        issuer, secret = (login.hub.issuer, SECRET) if login else ("", "")
        settings = Settings(folder, self.database, port, cache_port, any_name, issuer, secret)
        config = write(settings)
        self._env = {
            **os.environ,
            "RUCIO_HOME": str(folder),
            "RUCIO_CONFIG": str(config),
            "PYTHONPATH": str(folder / "policy"),
            **({"REQUESTS_CA_BUNDLE": str(login.authority.bundle)} if login else {}),
        }
        memcached = ["memcached", "-l", "127.0.0.1", "-p", str(cache_port), "-m", "64"]
        if os.geteuid() == 0:
            memcached += ["-u", "nobody"]
        self._cache = Process(memcached, folder / "memcached.log")
        serving = f"--bind 127.0.0.1:{port} --workers {workers} --worker-class gthread --threads 8 "
        serving += (
            "--worker-tmp-dir /dev/shm --timeout 300 --graceful-timeout 1 --no-control-socket"
        )
        gunicorn = [str(VENV / "bin" / "gunicorn"), *serving.split()]
        gunicorn += _tls(authority) if authority else []
        gunicorn += ["rucio_behind_tls:application" if authority else APPLICATION]
        self._server = Process(gunicorn, folder / "server.log", self._env)
        self._trusted = ssl.create_default_context(cafile=authority.ca) if authority else None
        self.admin = RucioAdmin(self.url, "root", ROOT_PASSWORD, self._trusted)

    def __enter__(self) -> Self:
        self._make_database()
        try:
            self._cache.start()
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._server.stop()
        self._cache.stop()

    def start(self) -> None:
        """Start the server, and return when it answers."""
        self._server.start()
        self._server.wait_until(self._answers, "Rucio")

    def kill(self) -> None:
        """Stop the server; its database stays."""
        self._server.stop()

    def judge(self) -> None:
        """Let the daemon that puts changed datasets under their rules' locks run once."""
        self._run(str(VENV / "bin" / "rucio-judge-evaluator"), "--run-once")

    def undertake(self) -> None:
        """Let the daemons that end rules and datasets run once."""
        self._run(str(VENV / "bin" / "rucio-judge-cleaner"), "--run-once")
        self._run(str(VENV / "bin" / "rucio-undertaker"), "--run-once")

    def end_tokens(self) -> None:
        """Let all tokens that it has given out end now."""
        with self.sql() as connection:
            connection.execute("DELETE FROM tokens")
        with socket.create_connection(("127.0.0.1", self._cache_port), timeout=30) as cache:
            cache.sendall(b"flush_all\r\n")
            assert cache.recv(100) == b"OK\r\n"

    def sql(self) -> psycopg.Connection[tuple[object, ...]]:
        """Return a connection to its database, for what no call can bring about."""
        dsn = self.database.replace("+psycopg", "")
        return psycopg.connect(dsn, options="-c search_path=rucio")

    def program(self, name: str, *words: str) -> Process:
        """Return a process of a program of the server's environment, with its configuration."""
        command = [str(VENV / words[0]), *words[1:]]
        return Process(command, self.folder / f"{name}.log", self._env)

    def read_log(self) -> str:
        """Return what the server has printed."""
        return self._server.read_log()

    def _make_database(self) -> None:
        """Make the database; the first one of a PostgreSQL is copied for the others."""
        dsn = self._postgres.url.replace("+psycopg", "")
        with psycopg.connect(dsn, autocommit=True) as connection:
            known = f"SELECT 1 FROM pg_database WHERE datname = '{EMPTY}'"
            if connection.execute(known).fetchone():
                connection.execute(f'CREATE DATABASE "{self._name}" TEMPLATE {EMPTY}')
                return
            connection.execute(f'CREATE DATABASE "{self._name}"')
            self._run(str(VENV / "bin" / "python"), str(VENV / "rucio" / "tools" / "bootstrap.py"))
            connection.execute(f'CREATE DATABASE {EMPTY} TEMPLATE "{self._name}"')

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self.url}/ping", timeout=10, context=self._trusted
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, env=self._env, cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"{command[-1]}: {done.stdout[-2000:]}{done.stderr[-4000:]}")


def _tls(authority: Authority) -> list[str]:
    """Return gunicorn's options for TLS; it takes clients' certificates, and needs none."""
    certificate, key = authority.issue("rucio")
    options = ["--certfile", str(certificate), "--keyfile", str(key)]
    return [*options, "--ca-certs", str(authority.ca), "--cert-reqs", "1"]
