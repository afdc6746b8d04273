"""Botocore's descriptions of AWS services and their endpoints, read once for a process. EDGE.

Used by the plugin `providers.aws` and by meshctl's own AWS clients. Reading the description of EC2 takes 0.1 to 0.2 s
of processor time. Botocore's own loader remembers what it has read, but threads that ask before it is done each read it
again, and each session has a loader of its own.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import botocore.session
from botocore.loaders import Loader


class ServiceModels(Loader):
    """A loader whose descriptions are shared by threads and sessions; nobody may change them."""

    def __init__(self) -> None:
        super().__init__()
        self._reading = threading.RLock()

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        with self._reading:
            return super().load_service_model(service_name, type_name, api_version)

    def load_data_with_path(self, name: str) -> Any:
        with self._reading:
            return super().load_data_with_path(name)


MODELS: Final = ServiceModels()


def share(session: botocore.session.Session) -> None:
    """Let the session use the shared descriptions, unless its user has more of them in a folder (AWS_DATA_PATH)."""
    if not session.get_config_variable("data_path"):
        session.register_component("data_loader", MODELS)
