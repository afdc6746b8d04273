"""`meshctl advise` as a user runs it."""

from __future__ import annotations

import json
import xml.etree.ElementTree
from pathlib import Path

import pytest

from meshctl.advise import human, page
from tests.command_line import meshctl
from tests.golden_files import Golden
from tests.unit.advise.situations import EXAMPLE, MODELS, Case, advised, case, measured, recorded

SETTING = {"model": "meta-llama/Llama-3.3-70B-Instruct", "input_tokens": "1000", "output_tokens": "1000"}
RESULTS = (
    *measured("vllm-bench-serve.json", SETTING, subject="workload/chat"),
    *measured("fio-limited-write.json", value=5.0, subject="storage/checkpoints"),
    *recorded("vllm-bench-serve.json", subject="workload/chat"),
)
OPTIONS = [word for model in MODELS for word in ("--model", model)]


def test_the_example_in_both_clouds(golden: Golden) -> None:
    for environment in ("aws-east", "cw"):
        result = meshctl("advise", environment, *OPTIONS, folder=EXAMPLE)
        assert (result.returncode, result.stderr) == (0, "")
        golden(f"advise/{environment}.txt", result.stdout)


def test_with_results(golden: Golden) -> None:
    """A run of the same model and tokens, and a recorded one of another model, which does not count."""
    golden("advise/measured.txt", human.text(advised(case(), *MODELS, results=RESULTS)))


def test_as_json(golden: Golden) -> None:
    document = json.loads(meshctl("advise", "aws-east", *OPTIONS, "--output", "json", folder=EXAMPLE).stdout)
    assert document["meshctl"] == 1
    golden.json("advise/aws-east.json", document)


def test_as_a_page(golden: Golden) -> None:
    golden("advise/measured.html", page.text(advised(case(), *MODELS, results=RESULTS)))


def test_a_page_loads_nothing_and_is_well_formed(tmp_path: Path) -> None:
    result = meshctl("advise", "aws-east", *OPTIONS, "--html", str(tmp_path / "advice.html"), folder=EXAMPLE)
    assert result.stderr == f"written to {tmp_path / 'advice.html'}\n"
    text = (tmp_path / "advice.html").read_text(encoding="utf-8")
    body = text.removeprefix("<!DOCTYPE html>\n").replace('<meta charset="utf-8">', "").replace("<br>", "<br/>")
    root = xml.etree.ElementTree.fromstring(body)  # noqa: S314 (of our own making)
    assert {element.tag for element in root.iter()}.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert not [name for element in root.iter() for name in element.attrib if name in ("src", "href", "onload")]
    assert len(list(root.iter("svg"))) == 2


def test_text_of_the_mesh_is_escaped_in_a_page() -> None:
    example = case()
    deployed = example.deployment
    chat = deployed.workload("chat").model_copy(update={"args": ("--model", "<script>alert(1)</script>&")})
    others = tuple(each for each in deployed.workloads if each.name != "chat")
    changed = Case(example.declared, deployed.model_copy(update={"workloads": (chat, *others)}))
    text = page.text(advised(changed))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in text


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    result = meshctl("advise", "aws-east", "--html", str(tmp_path / "no" / "a.html"), folder=EXAMPLE)
    assert result.returncode == 1
    assert "the page can't be written" in result.stderr


@pytest.mark.parametrize("tokens", ["1000", "0/5", "a/b", "1/2/3"])
def test_lengths_of_requests_are_a_pair(tokens: str) -> None:
    result = meshctl("advise", "aws-east", "--tokens", tokens, folder=EXAMPLE)
    assert result.returncode == 64
    assert "write --tokens INPUT/OUTPUT" in result.stderr


def test_an_unknown_environment(tmp_path: Path) -> None:
    assert meshctl("advise", "nowhere", folder=EXAMPLE).returncode == 64
