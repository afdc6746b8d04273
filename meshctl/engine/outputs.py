"""What the outputs of an environment's stack tell, where a run that failed may have left some unknown. PURE.

Used by `session` and `operate.status`; `run.stack_outputs` takes them from a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshctl.changes.fields import UNKNOWN


def known_kubeconfig(outputs: Mapping[str, Any]) -> str:
    """The kubeconfig of a cluster that meshctl made, in JSON; "" where there is none, or none yet."""
    made = str(outputs.get("kubeconfig") or "")
    return "" if made == UNKNOWN else made


def known_addresses(outputs: Mapping[str, Any]) -> dict[str, str]:
    """The endpoints' addresses, without those that a partial `up` left unknown."""
    found = {name: str(address or "") for name, address in (outputs.get("endpoints") or {}).items()}
    return {name: address for name, address in found.items() if address and address != UNKNOWN}
