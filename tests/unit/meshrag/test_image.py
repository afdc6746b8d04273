"""The image of meshrag has what uv.lock has for the extra `rag`, and starts what the blueprint starts.

After a change of uv.lock: `python -m tests.unit.meshrag.test_image > images/rag/requirements.txt`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from meshctl.blueprints.expansion import expand
from meshctl.blueprints.rag import IMAGE as IMAGE_OF_BLUEPRINT
from meshctl.model.files.file_problems import mapping
from meshctl.model.pods import image_names

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "images" / "rag"
HEAD = "# What uv.lock has for the extra `rag`, made by tests/unit/meshrag/test_image.py, which also compares them."
LINUX = {
    "implementation_name": "cpython", "os_name": "posix", "platform_python_implementation": "CPython",
    "platform_system": "Linux", "sys_platform": "linux", "extra": "",
}  # fmt: skip
Package = dict[str, Any]


def locked() -> list[Package]:
    packages: list[Package] = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return packages


def requirements() -> list[str]:
    """With all that these need, on both processors of Linux; a marker says what is of one alone."""
    pins = {machine: set(pinned(machine)) for machine in ("x86_64", "aarch64")}
    everywhere = set.intersection(*pins.values())
    of_one = {f"{pin} ; platform_machine == '{machine}'" for machine, own in pins.items() for pin in own - everywhere}
    return sorted(everywhere | of_one)


def pinned(machine: str) -> Iterator[str]:
    python = python_of_image()
    environment = {
        **LINUX, "platform_machine": machine, "python_version": python, "python_full_version": f"{python}.0"
    }  # fmt: skip
    packages = locked()
    (project,) = [package for package in packages if package["name"] == "meshctl"]
    waiting = [*project["optional-dependencies"]["rag"]]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        if not Marker(wanted.get("marker", "python_version > '3'")).evaluate(environment):
            continue
        package = chosen(packages, wanted, environment)
        yield f"{package['name']}=={package['version']}"
        for extra in ("", *wanted.get("extra", ())):
            if (package["name"], extra) not in seen:
                seen.add((package["name"], extra))
                needs = package.get("optional-dependencies", {}).get(extra) if extra else package.get("dependencies")
                waiting += needs or []


def chosen(packages: list[Package], wanted: Package, environment: dict[str, str]) -> Package:
    """Of a package with several versions, the one for this Python."""
    (package,) = [
        each
        for each in packages
        if each["name"] == wanted["name"]
        and wanted.get("version", each["version"]) == each["version"]
        and any(Marker(text).evaluate(environment) for text in each.get("resolution-markers", ["os_name == 'posix'"]))
    ]
    return package


def python_of_image() -> str:
    base = re.search(r"^FROM python:([0-9.]+)-slim$", (IMAGE / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    return base[1]


def text() -> str:
    return "\n".join([HEAD, *requirements(), ""])


def test_it_has_what_is_locked() -> None:
    assert (IMAGE / "requirements.txt").read_text() == text(), f"`python -m {__name__} > images/rag/requirements.txt`"


def test_what_the_extra_names_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[>]", line)[0] for line in project["optional-dependencies"]["rag"]}
    assert names <= {line.partition("==")[0] for line in requirements()}


def test_the_blueprint_starts_modules_that_there_are() -> None:
    rag = {"kind": "rag", "pool": "web", "corpus": "10GiB", "model": "llama"}
    workloads = mapping(mapping(expand({"blueprints": {"docs": rag}}).data)["workloads"])
    commands = [workloads[name]["command"] for name in ("docs", "docs-ingest")]
    assert [command[:2] for command in commands] == [["python", "-m"], ["python", "-m"]]
    assert all(importlib.util.find_spec(command[2]) for command in commands)


def test_the_steps_of_the_image_find_their_files() -> None:
    lines = (IMAGE / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY ")]
    assert copied == ["images/rag/requirements.txt", "meshrag"]
    assert all((ROOT / source).exists() for source in copied)
    (command,) = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    assert importlib.util.find_spec(command[2])
    assert [line for line in lines if line.startswith("USER ")] == ["USER 1000:1000"]


def test_the_docs_say_how_it_is_built_and_whose_it_is() -> None:
    docs = (ROOT / "docs" / "blueprints.md").read_text()
    build = "docker build -f images/rag/Dockerfile -t registry.example.com/rag:0.2 ."
    assert f"#   {build}\n" in (IMAGE / "Dockerfile").read_text()
    assert f"$ {build}\n$ docker push registry.example.com/rag:0.2\n" in docs
    mirror = {"ghcr.io/meshctl/rag": "registry.example.com/rag"}
    assert f"images: {{{', '.join(f'{key}: {value}' for key, value in mirror.items())}}}" in docs
    assert image_names.mirrored(IMAGE_OF_BLUEPRINT, mirror) == "registry.example.com/rag:0.2"


def test_the_docs_say_what_an_older_image_lacks_which_has_the_same_tag() -> None:
    """Another tag would roll out what is up, and so the error of the older one is what is read."""
    docs = (ROOT / "docs" / "blueprints.md").read_text()
    assert IMAGE_OF_BLUEPRINT.endswith(":0.2")
    assert (
        "before a mesh first has `llm: off`: with an older image the API ends at once with `error: RAG_LLM_URL is not"
        in docs
    )
    assert "an older image does not know `RAG_ENVIRONMENT`" in docs
    mirror = {"ghcr.io/meshctl/rag": "registry.example.com/rag-new"}
    assert image_names.mirrored(IMAGE_OF_BLUEPRINT, mirror) == "registry.example.com/rag-new:0.2"
    assert "`registry.example.com/rag-new:0.2`, and name that in `images`" in docs


if __name__ == "__main__":
    sys.stdout.write(text())
