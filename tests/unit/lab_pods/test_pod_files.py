"""A process pod finds the `files` of its workload, and its secrets that are files, where the mesh says."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, cast

from meshctl import render
from meshctl.lab.pods import environment, volumes
from meshctl.render import LateValue
from tests.unit.deployments import deployment
from tests.unit.lab_pods.test_working_folder import started

SCRIPT = """\
cat /prompt.yaml /opt/app/prompts/a.txt /run/mesh/hf
ls /opt/app/prompts /run/mesh
echo x > /prompt.yaml || exit 7
"""


def pod_and_data() -> tuple[dict[str, Any], environment.Data]:
    """The pod that is rendered for `chat`, and the objects that it reads, as the API server holds them."""
    fields = {
        "files": {"/prompt.yaml": "be kind\n", "/opt/app/prompts/a.txt": "ä\n"},
        "secret_files": {"/run/mesh/hf": "hf"},
        "mounts": (),
    }
    made = deployment("dc1")
    made = made.model_copy(update={"workloads": (made.workload("chat").model_copy(update=fields),)})
    manifests = {item.name: item.manifest for item in render.platform_objects(made)}
    config, secret = manifests["workload/chat:files"], manifests["workload/chat:secrets"]
    (key,) = secret["stringData"]
    assert secret["stringData"][key] == LateValue("secret.hf")
    stored = {"data": {key: base64.b64encode(b"hf_token").decode()}}
    data = {
        ("ConfigMap", "chat-files"): environment.values_of("ConfigMap", config),
        ("Secret", "chat-secrets"): environment.values_of("Secret", stored),
    }
    template = manifests["workload/chat:deployment"]["spec"]["template"]
    return {**template, "metadata": {**template["metadata"], "name": "chat-1", "namespace": "m"}}, data


def test_files_and_secrets_are_at_their_paths(tmp_path: Path) -> None:
    pod, data = pod_and_data()
    place = volumes.Place(tmp_path, tmp_path / "pod", cast("Any", None))  # nothing of it has to be asked for
    folders = asyncio.run(volumes.prepare(pod, place, data))
    mounts = volumes.mounts(pod["spec"]["containers"][0], folders, {})
    asked = {(kind, name) for kind, name in environment.references(pod) if kind == "ConfigMap" or "chat" in name}
    assert asked == set(data)
    found = started(
        tmp_path, "/", *((Path(source), path, ro) for source, path, ro in mounts), argv=("/bin/sh", "-c", SCRIPT)
    )
    assert found.stdout == "be kind\nä\nhf_token/opt/app/prompts:\na.txt\n\n/run/mesh:\nhf\n"
    assert found.returncode == 7  # read only
    assert not Path("/prompt.yaml").exists()


def test_an_empty_folder_of_a_pod_does_not_hide_the_lab_itself(tmp_path: Path) -> None:
    own = [tmp_path / "machine" / "clone" / ".venv", tmp_path / "machine" / "clone"]
    empty = tmp_path / "empty"
    empty.mkdir()
    placed = [(str(empty), str(tmp_path / "machine"), False), (str(empty), "/elsewhere", False)]
    clone = str(own[1])
    assert volumes.uncovered(placed, own) == [(clone, clone, True)]
    assert (empty / "clone").is_dir()  # the mount has its place, and makes none in what the machine has
    assert volumes.uncovered(placed[1:], own) == []
