"""A step of a migration. PURE. Made by `step_plan`, run by `runner`, shown by `views`."""

from __future__ import annotations

from dataclasses import dataclass, field

COUNTED = "quiesce/replicas"  # the step whose record says how many replicas the source had


@dataclass(frozen=True)
class Step:
    """`name` is unique in a migration ("sync/weights") and stored in journals. The other fields are for the action."""

    name: str
    action: str
    title: str
    side: str = ""  # the environment that the step acts on: source | target
    paused: frozenset[str] = field(default_factory=frozenset)  # workloads that have zero pods after the step
    workloads: frozenset[str] = field(default_factory=frozenset)  # the workloads that the step waits for
    store: str = ""
    pool: str = ""  # whose fabric is measured
    endpoints: tuple[str, ...] = ()
    redo: tuple[str, ...] = ()  # steps that must be done again if this one fails
    guards: str = ""  # name of a later step: each run repeats this check until that step is done
    counted: str = ""  # the step whose record says how many replicas this one brings up at least

    @property
    def phase(self) -> str:
        return self.name.split("/")[0]
