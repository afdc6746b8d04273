"""One workload in two environments, each request shared by the source's gateway: exact, and none of them is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from meshctl.lab.load import Load
from tests.faults.expanded_mesh import EXPAND, HOST, MESH, put
from tests.faults.test_gateway import ISSUED
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

BY_GATEWAY = MESH.replace("port: http, access: public", "port: http, tls: true, access: public")


@pytest.fixture
def spread(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(BY_GATEWAY)
    (tmp_path / "environments.yaml").write_text(ISSUED)
    here.meshctl("up", "dc1", "--yes", "--object-storage-only")
    put(here, "dc1", "llama/0.bin")
    here.meshctl("up", "dc1", "--yes")
    yield here
    here.meshctl("contract", "--yes", check=False)  # while it is in force, `destroy` is refused
    for environment in ("dc1", "cw"):
        here.meshctl("destroy", environment, "--allow-data-loss", "--confirm", environment, check=False)


def share_of_cw(load: Load, requests: int) -> float:
    """Of at least so many of all requests, from now on. A part of them would be no fair sample: turns are periodic, and
    so is the load."""
    before = Counter(load.environments)
    for part in range(0, requests, 50):  # a wait for all of them at once would take too long on a busy machine
        wait_until(partial(_has_answers, load, before.total() + part + 50))
    assert not load.failures, load.failures
    answers = Counter(load.environments) - before
    return answers["cw"] / answers.total()


def _has_answers(load: Load, count: int) -> bool:
    return sum(load.environments.values()) >= count


def measured_share_of_cw(here: RunningLab, *, weight: int, requests: int) -> float:
    """As `status` has counted it, of at least so many requests."""
    status = here.json("status", "dc1")["environments"]["dc1"]
    assert not [note for note in status["notes"] if "measured split" in note]  # the log of each pod was read
    (endpoint,) = status["endpoints"]
    own, passed_on = endpoint["requests"]
    assert [(own["environment"], own["weight"]), (passed_on["environment"], passed_on["weight"])] == [
        ("dc1", 255 - weight),
        ("cw", weight),
    ]
    assert own["requests"] == passed_on["requests"] == own["measured"] + passed_on["measured"] >= requests
    return float(passed_on["measured"] / passed_on["requests"])


def scale(here: RunningLab, replicas: int) -> None:
    """The target's gateway: its load balancer takes no request without it."""
    here.kubectl("cw", "--namespace", "spread", "scale", "deployment/chat-gateway", "--replicas", str(replicas))


def test_each_request_is_shared_and_none_is_lost_on_the_way_there_and_back(spread: RunningLab) -> None:
    server, authority = spread.env["MESHCTL_DNS_SERVER"], str(spread.lab.root / "certificates" / "authority.pem")
    load = Load(f"https://{HOST}/v1/completions", rate=40, dns_server=server, authority=authority).start()
    assert share_of_cw(load, 50) == 0.0
    spread.meshctl(*EXPAND, "--share", "40%", "--by", "gateway")
    assert share_of_cw(load, 2000) == pytest.approx(0.4, abs=0.01)
    assert measured_share_of_cw(spread, weight=102, requests=2000) == pytest.approx(0.4, abs=0.01)
    assert spread.json("plan", "dc1")["changes"] == []
    spread.meshctl("up", "dc1", "--yes")
    assert share_of_cw(load, 500) == pytest.approx(0.4, abs=0.02)
    scale(spread, 0)
    wait_until(lambda: share_of_cw(load, 50) == 0.0)
    scale(spread, 2)
    wait_until(lambda: share_of_cw(load, 50) > 0.3)
    spread.meshctl(*EXPAND, "--share", "80%")
    assert share_of_cw(load, 500) == pytest.approx(0.8, abs=0.02)
    assert measured_share_of_cw(spread, weight=204, requests=500) == pytest.approx(0.8, abs=0.02)
    edit = ("--type=merge", "-p", '{"spec": {"revisionHistoryLimit": 7}}', "--field-manager=somebody")
    spread.kubectl("dc1", "--namespace", "spread", "patch", "deployment", "chat", *edit)
    assert spread.meshctl("up", "dc1", "--yes", check=False).returncode != 0, "it would overwrite what somebody has set"
    spread.meshctl("contract", "--yes")  # nobody is kept in an expansion by that
    assert share_of_cw(load, 50) == 0.0
    spread.meshctl("up", "dc1", "--yes", "--take-over", "workload/chat")
    result = load.stop()
    assert result.failed == 0, result.errors
    assert spread.json("plan", "dc1")["changes"] == []
