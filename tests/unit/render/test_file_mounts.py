"""`files` and secrets as files: volumes of the pods, and that another text makes other pods and runs jobs again."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.secrets import secret_revisions
from meshctl.model.deployment import Deployment
from meshctl.model.pods import pod_files
from meshctl.render import LateValue
from meshctl.render.controllers import work
from tests.unit.deployments import deployment
from tests.unit.states import NOTHING

EVERYWHERE = pytest.mark.parametrize("environment", ["aws-east", "cw", "dc1"])
PROMPT = {"/prompt.yaml": "be kind\n", "/etc/app/a-b_c.txt": "é\r\n\t$(HOME) {{ x }} \U0001f600 --- !output x\n\x7f"}


def with_files(environment: str, **fields: Any) -> Deployment:
    made = deployment(environment)
    return made.model_copy(update={"workloads": tuple(w.model_copy(update=fields) for w in made.workloads)})


def objects(made: Deployment) -> dict[str, dict[str, Any]]:
    return {item.name: item.manifest for item in render.platform_objects(made)}


def template(made: Deployment, name: str) -> dict[str, Any]:
    (found,) = [m for n, m in objects(made).items() if n in (f"workload/{name}:deployment", f"workload/{name}:job")]
    specification: dict[str, Any] = found["spec"]["template"]
    return specification


@EVERYWHERE
@pytest.mark.parametrize("workload", ["chat", "pretrain"])
def test_a_file_has_its_text_at_its_path(environment: str, workload: str) -> None:
    made = with_files(environment, files=PROMPT)
    config = objects(made)[f"workload/{workload}:files"]
    assert {pod_files.path_of(key): text for key, text in config["data"].items()} == PROMPT
    pod = template(made, workload)["spec"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "0-files"]
    assert volume["configMap"] == {"name": config["metadata"]["name"]}
    mounts = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "0-files"]
    assert {each["mountPath"]: each["subPath"] for each in mounts} == {path: pod_files.key_of(path) for path in PROMPT}
    assert all(each["readOnly"] for each in mounts)


def test_the_pods_come_after_their_files() -> None:
    made = with_files("cw", files=PROMPT)
    (server,) = [item for item in render.platform_objects(made) if item.name == "workload/chat:deployment"]
    assert "workload/chat:files" in server.depends_on


@pytest.mark.parametrize("path", ["/a", "/run/secrets/hf", "/A-b_c.d/é x/+", "/-2f/2f-2f", f"/{'x' * 200}"])
def test_a_key_says_its_path(path: str) -> None:
    key = pod_files.key_of(path)
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert pod_files.path_of(key) == path


@pytest.mark.parametrize("key", ["HF_TOKEN", "file", "file_2f", ".dockerconfigjson", "aws-config"])
def test_what_is_no_files_key_has_no_path(key: str) -> None:
    assert pod_files.path_of(key) is None


@pytest.mark.parametrize("other", [{"/prompt.yaml": "be brief\n"}, {"/other.yaml": "be kind\n"}, {}])
def test_another_text_makes_other_pods(other: dict[str, str]) -> None:
    before = template(with_files("cw", files={"/prompt.yaml": "be kind\n"}), "chat")
    assert before == template(with_files("cw", files={"/prompt.yaml": "be kind\n"}), "chat")
    assert before["metadata"] != template(with_files("cw", files=other), "chat")["metadata"]


def test_a_pod_without_files_is_what_it_was() -> None:
    assert template(with_files("cw", files={}, secret_files={}), "chat") == template(deployment("cw"), "chat")
    assert "annotations" not in template(deployment("dc1"), "pretrain")["metadata"]


def same_work(before: Deployment, after: Deployment) -> bool:
    return work.same_in_both(before, after, "pretrain")


def test_a_finished_job_runs_again_with_other_files() -> None:
    first, second = (with_files("cw", files={"/p": text}) for text in ("a", "b"))
    assert same_work(first, first)
    assert not same_work(first, second)
    assert not same_work(deployment("cw"), first)
    assert not same_work(deployment("cw"), with_files("cw", secret_files={"/run/t": "token"}))
    assert same_work(*(with_files("cw", secret_files={"/run/t": name}) for name in ("token", "other")))


@EVERYWHERE
def test_a_secret_is_a_file_of_the_pods_group_alone(environment: str) -> None:
    made = with_files(environment, secrets={"HF_TOKEN": "hf"}, secret_files={"/run/secrets/hf": "hf", "/key": "key"})
    pod = template(made, "chat")["spec"]
    (volume,) = [each["secret"] for each in pod["volumes"] if each["name"] == "0-secret-files"]
    assert (volume["defaultMode"], volume["secretName"]) == (0o440, "chat-secrets")
    assert pod["securityContext"]["fsGroup"] == 1000
    keys = {item["key"] for item in volume["items"]}
    assert {pod_files.path_of(key) for key in keys} == {"/run/secrets/hf", "/key"}
    values = objects(made)["workload/chat:secrets"]["stringData"]
    assert values.keys() == {"HF_TOKEN", *keys}
    assert values[pod_files.key_of("/key")] == LateValue("secret.key")
    assert {entry["name"] for entry in pod["containers"][0]["env"]} & keys == set()


def test_a_new_value_of_a_secret_that_is_a_file_rolls_out() -> None:
    made = with_files("aws-east", secret_files={"/run/t": "token"})
    annotation = template(made, "chat")["metadata"]["annotations"]["meshctl.dev/secrets-revision"]
    assert annotation == LateValue("revision.chat-secrets")
    assert secret_revisions.revision_values(made, {"secret.token": "x"}, NOTHING)["revision.chat-secrets"] == "1"


def test_the_text_travels_with_the_deployment() -> None:
    """States, saved plans and migrations hold the deployment; its digest is another one for another text."""
    made = with_files("cw", files=PROMPT)
    assert Deployment.model_validate_json(made.model_dump_json()) == made
    assert made.digest != with_files("cw", files={**PROMPT, "/prompt.yaml": "be brief"}).digest
