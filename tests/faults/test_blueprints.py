"""The mesh of examples/blueprints comes up in the lab: the model answers, training saves, and the workloads written out
in place of the blueprints change nothing of what is up.

It runs in `nox -s faults`; what blueprints become is tested in tests/unit/blueprints.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

EXAMPLE = Path(__file__).parents[2] / "examples" / "blueprints"
WHERE = "dc1"
WORKLOADS = {"chat", "tune", "lab"}


@pytest.fixture
def example(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    here = lab.at(tmp_path, HF_TOKEN="hf", NOTEBOOK_TOKEN="letmein")
    try:
        yield here
    finally:
        here.meshctl("destroy", WHERE, "--yes", "--allow-data-loss", "--confirm", WHERE, timeout_s=600, check=False)


def status(here: RunningLab) -> Any:
    return here.json("status", WHERE)["environments"][WHERE]


def answer(address: str, question: str) -> str:
    """What the model answers; "" while nobody answers at the load balancer yet."""
    body = json.dumps({"messages": [{"role": "user", "content": question}], "max_tokens": 4})
    with contextlib.closing(http.client.HTTPConnection(address, 8000, timeout=60)) as connection:
        try:
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            return ""
    return str(json.loads(text)["choices"][0]["message"]["content"]) if response.status == 200 else ""


def checkpoints(here: RunningLab) -> list[str]:
    s3 = here.boto3("s3", "dc1")
    (bucket,) = [b["Name"] for b in s3.list_buckets()["Buckets"] if "tune-checkpoints" in b["Name"]]
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_blueprints_come_up_and_are_written_out_without_a_change(example: RunningLab) -> None:
    subjects = {change["subject"] for change in example.json("plan", WHERE)["changes"]}
    assert {each for each in subjects if each.startswith("workload/")} == {f"workload/{name}" for name in WORKLOADS}
    example.meshctl("up", WHERE, "--yes", timeout_s=600)
    up = status(example)
    assert {each["name"] for each in up["workloads"]} == WORKLOADS
    (chat,) = [each for each in up["endpoints"] if each["name"] == "chat"]
    wait_until(lambda: answer(chat["address"], "hello"))
    wait_until(lambda: [key for key in checkpoints(example) if key.endswith("latest")])

    written_out = example.meshctl("blueprint", "show").stdout
    (example.folder / "mesh.yaml").write_text(written_out)
    assert "blueprints:" not in written_out
    again = example.meshctl("plan", WHERE, "--detailed-exitcode", check=False)
    assert again.returncode == 0, again.stdout + again.stderr
