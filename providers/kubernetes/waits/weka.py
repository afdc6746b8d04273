"""When a WEKA cluster is ready, and if not, why. Called by `groups`, which has the rules of kinds of others. PURE.

The official plugin waits for the field that the object names (`pulumi.com/waitFor`), and can't say what is missing. An
upgrade is not waited for: the cluster serves meanwhile, and takes its time for each container.
"""

from __future__ import annotations

from typing import Final

from meshwire import weka
from providers.kubernetes.objects import Json
from providers.kubernetes.waits.readiness import READY, Rule, Verdict

LEAVING_CODE: Final = "WekaLeaving"


def cluster(obj: Json) -> Verdict:
    state = weka.state_of(obj)
    if state.is_leaving:
        message = f"its deletion has begun ({state.phase})"
        return Verdict(ready=False, message=message, failed=True, code=LEAVING_CODE)
    return READY if state.is_ready else Verdict(ready=False, message=state.words)


RULES: Final[dict[str, Rule]] = {f"{weka.API_VERSION}/{weka.KIND}": cluster}
