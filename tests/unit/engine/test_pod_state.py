"""What is said of a pod: whether it is ready, and if not, why."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod

from meshctl.engine.clusters import pod_state

BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}
CRASHED = {"terminated": {"exitCode": 1, "reason": "Error"}}
TALKED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback:\nOSError: no weights\n"}}
OUT_OF_MEMORY = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
COMPLETED = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def pod(state: dict[str, Any], last: dict[str, Any], **status: Any) -> Pod:
    container = {
        "name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 1, "state": state,
        "lastState": last,
    }  # fmt: skip
    return Pod.from_dict({"metadata": {"name": "chat-0"}, "status": {"containerStatuses": [container], **status}})


@pytest.mark.parametrize(
    ("state", "last", "reason"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, {}, "ImagePullBackOff"),
        (CRASHED, {}, "main ended with exit code 1"),
        (BACK_OFF, CRASHED, "CrashLoopBackOff, main ended with exit code 1"),
        (BACK_OFF, OUT_OF_MEMORY, "CrashLoopBackOff, main ended with exit code 137 (OOMKilled)"),
        ({"running": {}}, CRASHED, "main ended with exit code 1"),
        (BACK_OFF, TALKED, "CrashLoopBackOff, main ended with exit code 1: OSError: no weights"),
        (COMPLETED, CRASHED, ""),
        ({"running": {}}, {}, ""),
    ],
)
def test_a_container_says_why_it_does_not_run(state: dict[str, Any], last: dict[str, Any], reason: str) -> None:
    assert pod_state(pod(state, last)).reason == reason


def test_a_pod_that_fits_nowhere_says_so_first() -> None:
    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/4 nodes are available"}
    assert pod_state(pod(BACK_OFF, CRASHED, conditions=[full])).reason == "0/4 nodes are available"
