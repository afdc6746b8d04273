"""Waits for an update of an object that is running already, before another change of it. Called by `crud`. EDGE.

Services such as EKS run one update of an object at a time, and refuse a second one. The running one may be another's,
or that of a run that was interrupted. What a run wants is sent after it in any case: only the API knows whether there
is still something to change.
"""

from __future__ import annotations

import time
from typing import Any, Final

from providers.aws.rows_engine.calls import NO_RIGHT, matches
from providers.aws.rows_engine.live import Live, find
from providers.aws.rows_engine.row import Call, Updates
from providers.plugin.provider import ProviderError

PATIENCE_S: Final = 1800.0  # where the operation has no deadline
_PAUSE_S: Final = 5.0


def is_reading(call: Call) -> bool:
    return call.operation.startswith(("Describe", "List", "Get"))


class RunningUpdates:
    """Those of one object."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.updates = live.row.updates

    def is_running(self, description: Any) -> bool:
        updates = self.updates
        return updates is not None and find(updates.state, description) in updates.running

    def after_others(self, call: Call, context: dict[str, Any]) -> Any:
        """The answer of a call, which is made when no other update runs.

        Raises: ProviderError, also of the API's refusal where another update outlasts the deadline.
        """
        if self.updates is None or is_reading(call):
            return self.live.run(call, context)
        limit = self.live.deadline or time.monotonic() + PATIENCE_S
        while True:
            if self.is_running(self.live.describe(context)):
                self._wait(self.updates, context)
            try:
                return self.live.run(call, context)
            except ProviderError as error:
                if not matches(error, self.updates.busy) or time.monotonic() > limit:
                    raise
                self._wait(self.updates, context)
            self.live.caller.pause(_PAUSE_S, call.operation)

    def _wait(self, updates: Updates, context: dict[str, Any]) -> None:
        """Without the right to list them, the API's refusals tell how long one runs."""
        try:
            ids = self.live.run(updates.listed, context) or []
        except ProviderError as error:
            if matches(error, NO_RIGHT):
                return
            raise
        for update_id in ids:  # of the whole history, in no order; all but one have ended
            self.live.poll(updates.end, context | {"answer": {"update": {"id": update_id}}})
