"""Converts events of the Automation API to steps, failures and progress. PURE apart from the callbacks it is given.

Used by `run`, whose `Recorder` collects what `meshctl.changes` and `failures` read afterwards. Events come from several
threads of the event server, so one lock guards the lists.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pulumi.automation.events import EngineEvent, StepEventMetadata

from meshctl.changes.steps import PropertyChange, Step, resource_name, subject_of
from meshctl.engine.failures import without_code


@dataclass(frozen=True)
class Progress:
    """One event of a long run, for a person: `state` is started | done | failed | message. `type` and `outputs` are
    those of the resource once it is done."""

    subject: str
    detail: str
    state: str
    action: str = ""
    type: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


@dataclass
class Recorder:
    """Collects the events of one engine run.

    `steps` are those that have begun, `results` those that have ended: only the end of a refresh says what has changed.
    `diagnostics` are (urn, severity, message), in order.
    """

    on_progress: OnProgress | None = None
    steps: list[Step] = field(default_factory=list)
    results: list[Step] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    diagnostics: list[tuple[str, str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _steps_in_flight: int = 0  # steps on real resources that have begun and not ended
    _delete_replaced_failed: bool = False
    _last_event_s: float = field(default_factory=time.monotonic)

    def __call__(self, event: EngineEvent) -> None:
        with self._lock:
            self._last_event_s = time.monotonic()
            if event.resource_pre_event:
                self._started(event.resource_pre_event.metadata)
            elif event.res_outputs_event:
                self._finished(event.res_outputs_event.metadata)
            elif event.res_op_failed_event:
                self._failed(event.res_op_failed_event.metadata)
            elif event.diagnostic_event:
                self._diagnosed(event.diagnostic_event)

    def is_stuck(self, quiet_s: float) -> bool:
        """Whether a delete within a replacement has failed, and there was no event for `quiet_s` since."""
        with self._lock:
            quiet = time.monotonic() - self._last_event_s >= quiet_s
            return self._delete_replaced_failed and not self._steps_in_flight and quiet

    def _started(self, metadata: StepEventMetadata) -> None:
        self._steps_in_flight += _is_custom(metadata)
        step = step_of(metadata)
        self.steps.append(step)
        self._report(step, "started")

    def _finished(self, metadata: StepEventMetadata) -> None:
        self._steps_in_flight -= _is_custom(metadata)
        step = step_of(metadata)
        self.results.append(step)
        self._report(step, "done", (metadata.new.outputs if metadata.new else None) or {})

    def _failed(self, metadata: StepEventMetadata) -> None:
        self._steps_in_flight -= _is_custom(metadata)
        step = step_of(metadata)
        self._delete_replaced_failed |= step.op == "delete-replaced"
        self.failed.append(metadata.urn)
        self._report(step, "failed")

    def _diagnosed(self, event: Any) -> None:
        if event.severity in ("error", "warning") or event.severity == "info#err":
            self.diagnostics.append((event.urn or "", event.severity, _plain(event.message)))
        elif event.severity == "info" and event.urn and self.on_progress:
            name = resource_name(event.urn)
            self.on_progress(Progress(subject_of(event.urn), name, "message", without_code(_plain(event.message))))

    def _report(self, step: Step, state: str, outputs: Mapping[str, Any] = MappingProxyType({})) -> None:
        if self.on_progress is None or step.is_engine_own or step.action in (None, "same"):
            return
        name = resource_name(step.urn)
        self.on_progress(Progress(subject_of(step.urn), name, state, step.action or "", step.type, outputs))


def deletions(record: Recorder) -> list[Step]:
    """The steps that deleted resources, without the engine's own such as the stack and providers."""
    return [step for step in record.steps if step.action == "delete" and not step.is_engine_own]


def step_of(metadata: StepEventMetadata) -> Step:
    op = metadata.op.value if hasattr(metadata.op, "value") else str(metadata.op)
    replacing = set(metadata.keys or ())
    detailed = metadata.detailed_diff or {}
    properties = tuple(
        PropertyChange(path, _kind(diff).endswith("replace") or path.split(".")[0].split("[")[0] in replacing)
        for path, diff in sorted(detailed.items())
    ) or tuple(PropertyChange(key, key in replacing) for key in sorted(set(metadata.diffs or ()) | replacing))
    return Step(
        urn=metadata.urn,
        type=metadata.type,
        op=op,
        old=(metadata.old.inputs if metadata.old else None) or {},
        new=(metadata.new.inputs if metadata.new else None) or {},
        properties=properties,
    )


def _is_custom(metadata: StepEventMetadata) -> bool:
    """Whether the resource is a real one. Components end only when the whole program has ended."""
    state = metadata.new or metadata.old
    return bool(state and state.custom)


def _kind(diff: Any) -> str:
    kind = diff.diff_kind
    return str(getattr(kind, "value", kind))


def _plain(message: str) -> str:
    """The message without Pulumi's colour marks (`<{%reset%}>`)."""
    text = message
    while "<{%" in text:
        start = text.index("<{%")
        end = text.find("%}>", start)
        if end < 0:
            break
        text = text[:start] + text[end + 3 :]
    return text.strip()
