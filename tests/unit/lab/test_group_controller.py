"""The lab's controller of LeaderWorkerSets: where its webhooks are reached, and when it is started."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
from pathlib import Path

import httpx2 as httpx
import pytest
import yaml
from typer.testing import CliRunner

from meshctl import tools
from meshctl.cli.main import app
from meshctl.errors import LabError
from meshctl.lab import clusters, up
from meshctl.lab.pods import api
from meshctl.lab.state import Lab, write_atomically
from meshctl.lab.webhooks import group_controller
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.target import Target

HOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}WebhookConfiguration
metadata: {{name: {form}-webhook-configuration}}
webhooks:
- {{name: set.kb.io, clientConfig: {{service: {{name: s, namespace: n, path: /set}}}}}}
- {{name: pod.kb.io, clientConfig: {{service: {{name: s, namespace: n, path: /pod}}}}}}
"""
PATCH = """
- op: replace
  path: /webhooks/1
  value:
    name: pod.kb.io
    clientConfig: {service: {name: s, namespace: n, path: /pod}}
    objectSelector: {matchExpressions: [{key: leaderworkerset.sigs.k8s.io/name, operator: Exists}]}
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that listens where its configuration says, with the files of its module."""
    folder = tmp_path / "program"
    folder.mkdir()
    kinds = {"mutating": "Mutating", "validating": "Validating"}
    hooks = "---".join(HOOK.format(form=form, kind=kind) for form, kind in kinds.items())
    (folder / "manifests.yaml").write_text(f"---{hooks}")
    for form in kinds:
        (folder / f"{form}-patch.yaml").write_text(PATCH)
    definition = {"kind": "CustomResourceDefinition", "metadata": {"name": "leaderworkersets"}}
    (folder / group_controller.DEFINITION).write_text(f"---\n{yaml.safe_dump(definition)}")
    listening = folder / group_controller.PROGRAM
    listening.write_text(
        f"#!{shutil.which('python3')}\nimport socket, sys, yaml\n"
        "port = yaml.safe_load(open(sys.argv[2]))['webhook']['port']\n"
        "server = socket.create_server(('127.0.0.1', port))\n"
        "while True: server.accept()\n"
    )
    listening.chmod(0o755)
    monkeypatch.setattr(tools, "find", lambda _: listening)
    monkeypatch.setattr(tools, "file_beside", lambda _, name: folder / name)
    return folder


def test_its_webhooks_are_reached_on_loopback_and_asked_for_its_own_pods_only(program: Path) -> None:
    configurations = group_controller.webhooks(4321, b"authority")
    assert [each["metadata"]["name"] for each in configurations] == [
        "lws-mutating-webhook-configuration",
        "lws-validating-webhook-configuration",
    ]
    for configuration in configurations:
        sets, pods = configuration["webhooks"]
        bundle = base64.b64encode(b"authority").decode()
        assert sets["clientConfig"] == {"url": "https://127.0.0.1:4321/set", "caBundle": bundle}
        assert pods["clientConfig"] == {"url": "https://127.0.0.1:4321/pod", "caBundle": bundle}
        assert "objectSelector" in pods


def test_it_is_ready_once_its_webhooks_answer_and_ends_with_the_lab(program: Path, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    port = up._ports({}, {"group_controller": ["cw"]})[group_controller.port_name("cw")]
    lab.write({"ports": {group_controller.port_name("cw"): port}, "clusters": {}})
    lab.logs.mkdir()
    for name in ("admin.crt", "admin.key", "ca.crt"):
        write_atomically(clusters.home(lab, "cw") / "pki" / name, name)
    made: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        made.append(f"{request.method} {request.url.path} {json.loads(request.content)['metadata']['name']}")
        return httpx.Response(201, json={})

    async def play() -> None:
        client = AsyncClient(Target("http://api"), transport=httpx.MockTransport(answer))
        ready = asyncio.Event()
        running = asyncio.ensure_future(group_controller.run(lab, api.Cluster("cw", "", ""), client, ready.set))
        await asyncio.wait_for(ready.wait(), 60)
        assert len(made) == 3
        assert "customresourcedefinitions" in made[0]
        assert "mutatingwebhookconfigurations" in made[1]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.aclose()
        for _ in range(100):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await asyncio.sleep(0.1)
                continue
            return
        pytest.fail("the program still listens")

    asyncio.run(play())


def test_a_lab_that_is_up_gets_none_later(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write({"ports": {}, "clusters": {"cw": {"provider": "coreweave", "kubeconfig": "k"}}})
    write_atomically(lab.root / up.STARTED, "")
    with pytest.raises(LabError) as caught:
        up.up(lab, lambda _: None, ["cw"])
    assert "meshctl lab up --group-controller cw" in caught.value.hint


def test_only_a_cluster_that_is_there_from_the_start_can_have_one() -> None:
    result = CliRunner().invoke(app, ["lab", "up", "--group-controller", "elsewhere"])
    assert result.exit_code != 0
    assert "aws-east, cw, dc1" in str(result.exception.hint)  # type: ignore[union-attr]
