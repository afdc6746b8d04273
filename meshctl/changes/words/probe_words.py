"""What a container's probes say, in the words of a mesh's `health`. PURE. Called by `fields` for a changed probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.files.units import seconds_text
from meshctl.model.keys.health import STARTUP_S

# A term, and what it is on both sides; None where there is none.
Change = tuple[str, str | None, str | None]
TERM: Final = "health"


def changes(old: Any, new: Any) -> Iterator[Change]:
    """What differs in the probes of two containers, each thing once."""
    before, after = (side if isinstance(side, Mapping) else {} for side in (old, new))
    questions = [_question(side.get("readinessProbe")) for side in (before, after)]
    if questions[0] != questions[1]:
        yield TERM, questions[0], questions[1]
    lives = [_live(side) for side in (before, after)]
    if lives[0] != lives[1]:
        yield f"{TERM}.live", lives[0], lives[1]
    starts = [_startup(side, shows_default=None not in questions) for side in (before, after)]
    if starts[0] != starts[1]:
        yield f"{TERM}.startup", starts[0], starts[1]


def _question(probe: Any) -> str | None:
    """`http /health on 8000`, `grpc on 50051`."""
    if not isinstance(probe, Mapping):
        return None
    get = probe.get("httpGet")
    if isinstance(get, Mapping):
        return f"{str(get.get('scheme') or 'HTTP').lower()} {get.get('path')} on {get.get('port')}"
    for key, word in (("grpc", "grpc"), ("tcpSocket", "tcp")):
        handler = probe.get(key)
        if isinstance(handler, Mapping):
            return f"{word} on {handler.get('port')}"
    return None


def _live(container: Mapping[str, Any]) -> str | None:
    """The path of the liveness probe, where it is another one than readiness asks for."""
    ready, alive = (
        _mapping(_mapping(container.get(key)).get("httpGet")).get("path") for key in ("readinessProbe", "livenessProbe")
    )
    return str(alive) if alive and alive != ready else None


def _startup(container: Mapping[str, Any], *, shows_default: bool) -> str | None:
    """The default is shown only beside another time, before or after; not where a `health` comes or goes."""
    probe = _mapping(container.get("startupProbe"))
    seconds = int(probe.get("failureThreshold") or 0) * int(probe.get("periodSeconds") or 0)
    return seconds_text(seconds) if seconds and (shows_default or seconds != STARTUP_S) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
