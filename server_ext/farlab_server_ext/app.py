"""The extension application that jupyter_server loads."""

from __future__ import annotations

from jupyter_server.extension.application import ExtensionApp

from .handlers import ServerHandler


class FarlabServerApp(ExtensionApp):
    """Farlab's APIs in the user's Jupyter server."""

    name = "farlab_server_ext"

    def initialize_handlers(self) -> None:
        """Route the APIs; jupyter_server puts the base URL in front."""
        self.handlers.append((r"/farlab/api/server", ServerHandler))
