"""`up` on AWS killed or told to end at each of its long calls; then `up` goes on, or `destroy` leaves nothing.

For `nox -s faults`: `test_aws_story` has one of each, `test_random_stops` the moments between.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from typing import Any

import pytest

from tests.faults.small_mesh import BEGUN, WHOLE, counts, faults
from tests.faults.started import kill_when, started
from tests.hangups import hangups_not_ignored
from tests.lab_fixture import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


def test_up_goes_on_after_kills(small: RunningLab) -> None:
    for call in ("Vpc", "Cluster", "Nodegroup"):
        kill_when(small, BEGUN[call], "up", "aws-east", "--yes")
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert counts(small) == WHOLE
    assert small.json("plan", "aws-east")["changes"] == []


def test_a7_a_group_of_a_killed_first_up_is_kept_where_the_platform_answers_no_more(small: RunningLab) -> None:
    """What it may be made of was decided from an answer that the next `up` does not get."""

    def group() -> dict[str, Any]:
        described: dict[str, Any] = eks.describe_nodegroup(clusterName=cluster, nodegroupName="web")["nodegroup"]
        return described

    kill_when(small, BEGUN["Nodegroup"], "up", "aws-east", "--yes")
    eks = small.boto3("eks")
    [cluster] = eks.list_clusters()["clusters"]
    made = group()
    assert len(made["instanceTypes"]) > 1
    faults(small, {"operation": "DescribeInstanceTypeOfferings", "error": "UnauthorizedOperation", "times": 99})
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    faults(small)
    assert group()["nodegroupArn"] == made["nodegroupArn"]
    assert group()["instanceTypes"] == made["instanceTypes"]
    assert counts(small) == WHOLE
    assert small.json("plan", "aws-east")["changes"] == []


@pytest.mark.parametrize("call", ["Vpc", "Cluster", "Nodegroup"])
def test_destroy_after_a_kill_leaves_nothing(small: RunningLab, call: str) -> None:
    kill_when(small, BEGUN[call], "up", "aws-east", "--yes")
    assert small.json("status", "aws-east")["environments"]["aws-east"]["state"] == "degraded"
    said = small.meshctl("destroy", "aws-east", "--yes", timeout_s=400).stderr
    assert "reading what became of them" in said
    assert "  updated  " not in said  # what was found out is no change
    assert set(counts(small).values()) == {0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_at_a_safe_point_and_the_next_up_goes_on(small: RunningLab, number: signal.Signals) -> None:
    with started(small, "-v", "up", "aws-east", "--yes") as up:
        up.wait_for(BEGUN["Cluster"])
        up.process.send_signal(number)
        assert up.ended() == 130, up.said()
    assert "finishing what is in flight" in up.said()
    assert "`meshctl up aws-east` goes on from there" in up.said()
    small.meshctl("up", "aws-east", "--yes")
    assert counts(small) == WHOLE


def test_a_terminal_that_is_closed_stops_at_a_safe_point(small: RunningLab) -> None:
    """It takes the output with it: every further write fails."""
    command = [sys.executable, "-m", "meshctl.cli.main", "-v", "up", "aws-east", "--yes"]
    with hangups_not_ignored():
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(small.folder)
            os.execve(sys.executable, command, small.env)  # noqa: S606 (the test is to be its terminal)
    said = b""
    while BEGUN["Cluster"].encode() not in said:
        said += os.read(terminal, 4096)  # fails with EIO when it ends before that
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    state = json.loads((small.folder / ".meshctl/state/.pulumi/stacks/small/aws-east.json").read_text())
    assert not state["checkpoint"]["latest"].get("pending_operations")
    small.meshctl("up", "aws-east", "--yes")
    assert counts(small) == WHOLE
