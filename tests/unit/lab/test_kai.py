"""The lab's KAI Scheduler at work: it binds, takes back and says why, through the API."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from meshctl.cli.main import app
from meshctl.lab.controllers import kai
from meshctl.lab.state import Lab
from meshctl.render.controllers import kai_queues
from tests.unit.lab.test_controllers_idle import CLUSTER, FakeApi, settled
from tests.unit.render.test_kai_queues import deployed

PODS = "/api/v1/pods"
CRDS = Path(kai.__file__).with_name("kai-crds.yaml")


def node(name: str) -> dict[str, Any]:
    status = {
        "allocatable": {"nvidia.com/gpu": "8", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return {"metadata": {"name": name, "labels": {}}, "spec": {}, "status": status}


def pod(name: str, queue: str, on: str = "", preemptibility: str = "non-preemptible") -> dict[str, Any]:
    container = {"resources": {"requests": {"nvidia.com/gpu": "8"}}}
    labels = {"kai.scheduler/queue": queue, "kai.scheduler/preemptibility": preemptibility}
    spec = {"schedulerName": "kai-scheduler", "containers": [container], **({"nodeName": on} if on else {})}
    metadata = {"name": name, "namespace": "m", "uid": name, "labels": labels}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running" if on else "Pending"}}


def asked_for(fake: FakeApi) -> list[str]:
    """What it wants to change once it has looked at all that is there. The API answers, and changes nothing."""

    async def look() -> None:
        playing = asyncio.ensure_future(kai.play(Lab(Path()), CLUSTER, fake.client, lambda: None))
        await settled(fake)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await fake.client.aclose()

    asyncio.run(look())
    changes = [line for line in fake.asked if not line.startswith("GET") and "customresource" not in line]
    return list(dict.fromkeys(changes))


@pytest.fixture
def fake() -> FakeApi:
    """The queues that meshctl renders, and one node."""
    fake = FakeApi()
    for item in kai_queues.objects(deployed()):
        fake.put(kai.QUEUES, item.manifest)
    fake.put("/api/v1/nodes", node("g1"))
    return fake


def test_a_pod_in_a_queue_gets_a_node_and_one_without_room_is_told_why(fake: FakeApi) -> None:
    fake.put(PODS, pod("chat", "m.serve"))
    fake.put(PODS, pod("other", "m.serve.lent", preemptibility="preemptible"))
    assert asked_for(fake) == [
        "POST /api/v1/namespaces/m/pods/chat/binding",
        "PATCH /api/v1/namespaces/m/pods/other/status",
    ]


def test_what_was_lent_is_taken_back_for_its_owner(fake: FakeApi) -> None:
    fake.put(PODS, pod("sweep", "m.serve.lent", "g1", "preemptible"))
    fake.put(PODS, pod("chat", "m.serve"))
    assert "DELETE /api/v1/namespaces/m/pods/sweep" in asked_for(fake)


def test_what_is_rendered_has_no_field_that_the_definition_lacks() -> None:
    """A real API server would drop it without a word."""
    definition = next(each for each in yaml.safe_load_all(CRDS.read_text()) if each["spec"]["names"]["kind"] == "Queue")
    (version,) = definition["spec"]["versions"]
    known = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    for item in kai_queues.objects(deployed()):
        spec = item.manifest["spec"]
        assert spec.keys() <= known.keys()
        for resource, amounts in spec["resources"].items():
            assert amounts.keys() <= known["resources"]["properties"][resource]["properties"].keys()


def test_it_is_played_on_existing_clusters_alone() -> None:
    result = CliRunner().invoke(app, ["lab", "up", "--kai", "aws-east"])
    assert str(result.exception) == "no cluster aws-east of the lab can run it"
