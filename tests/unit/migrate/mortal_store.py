"""The store of the journal of a run that may be killed at any moment."""

from __future__ import annotations

from dataclasses import dataclass

from meshctl.engine.state_store import StateStore
from tests.unit.migrate.fake_gateway import FakeGateway


@dataclass(frozen=True)
class MortalStore(StateStore):
    """A kill can happen before or after each write; after it, nothing is written any more."""

    gateway: FakeGateway = None  # type: ignore[assignment]

    def create(self, path: str, text: str) -> bool:
        self.gateway.moment()
        made = super().create(path, text)
        self.gateway.moment()
        return made

    def delete(self, path: str) -> None:
        if not self.gateway.dead:
            super().delete(path)
