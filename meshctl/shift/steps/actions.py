"""The table of steps of a shift and of its undoing: which functions do and verify each. EDGE by what they do.

`history` has their order; `runner` looks them up here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshctl.shift.steps import back, forward
from meshctl.shift.steps.context import Step

STEPS: Final[Mapping[str, Step]] = {
    "hold": Step("hold new work off the nodes", forward.hold, forward.record_originals, forward.not_held),
    "checkpoint": Step("let training save a checkpoint and stop", forward.checkpoint),
    "empty": Step("evict the other pods", forward.empty),
    "hand-over": Step(
        "give the nodes the other pool's labels and taints", forward.hand_over, missing=forward.not_handed_over
    ),
    "release": Step("let new pods come", forward.release, missing=forward.not_released),
    "arrive": Step("wait for a pod of the other pool", forward.arrive),
    "undo/hold": Step("hold new work off the nodes", back.undo_hold, back.record_cordons, back.not_held),
    "undo/empty": Step("evict the pods of the other pool", back.undo_empty),
    "undo/put-back": Step("put labels and taints back", back.put_back, missing=back.not_put_back),
    "undo/release": Step("let new pods come", forward.release, missing=forward.not_released),
    "undo/owners": Step("give the labels back to who owned them", back.give_back_fields),
    "undo/gangs": Step("start the training that waited", back.start_gangs),
}
