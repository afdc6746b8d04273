"""The docs against the program: links, commands, error codes, keys of the files. No network."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from meshctl import errors
from meshctl.cli.main import app
from meshctl.engine.failures import HINTS
from meshctl.migrate.steps.order.step_plan import forward
from meshctl.model.environment import Environments, PlatformEnvironment
from meshctl.model.mesh import Mesh
from meshctl.platforms import registry
from meshctl.tools.table import TOOLS
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
PAGE_IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(meshctl [^`]+)`")
PLACEHOLDER = re.compile(r"^[A-Z]+…?$")
ROOT_COMMAND: Any = typer.main.get_command(app)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def test_lines_of_the_readme_s_transcript_are_whole_or_say_that_they_were_cut() -> None:
    """Its first line says that `…` marks what was left out. Cut lines have 120 characters at most."""
    transcript = text_of(ROOT / "README.md").partition("<!-- demo transcript -->")[2].partition("<!-- end of")[0]
    lines = transcript.splitlines()
    assert len(lines) > 100
    assert [line for line in lines if len(line) > 120] == []
    assert [line for line in lines if len(line) >= 118 and not line.endswith(("…", "."))] == []


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading\n[a](nowhere.md) [b](#a-heading) [c](#no-heading) [d](page.md)\n")
    assert broken_links(page) == ["nowhere.md", "#no-heading"]


def test_every_page_is_in_the_index() -> None:
    index = text_of(ROOT / "docs" / "index.md")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "index.md" and f"({p.name})" not in index] == []


def commands_of(page: Path) -> Iterator[str]:
    """Every `meshctl …` that a page tells to run: after a prompt in fenced blocks, and in back quotes."""
    text = text_of(page)
    for _, block in FENCE.findall(text):
        for line in block.splitlines():
            if line.lstrip().startswith("$ "):
                yield from re.findall(r"meshctl [^;&|\"`)]*", line.split("  #")[0])
    yield from INLINE.findall(FENCE.sub("", text))


def words_of(line: str) -> list[str]:
    """A command line without the marks of optional parts and the ellipses."""
    return [word for word in shlex.split(re.sub(r"[\[\]]", " ", line))[1:] if word != "…"]


def options_of(command: Any) -> dict[str, bool]:
    """Option -> whether it takes a value."""
    found = {"--help": False}
    for parameter in command.params:
        if parameter.param_type_name == "option":
            found |= dict.fromkeys([*parameter.opts, *parameter.secondary_opts], not parameter.is_flag)
    return found


def problem_of(line: str) -> str:
    """What is wrong with a documented command line; "" when nothing is. `[global options] COMMAND` stands for any."""
    words, command, known, skip = words_of(line), ROOT_COMMAND, options_of(ROOT_COMMAND), False
    if "COMMAND" in words:
        return ""
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            name = word.partition("=")[0]
            if name not in known:
                return f"no option {name}"
            skip = known[name] and "=" not in word
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
            known |= options_of(command)
        elif not any(parameter.param_type_name == "argument" for parameter in command.params):
            return f"no argument {word}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_commands_and_options_exist(page: Path) -> None:
    assert [f"{line}: {problem}" for line in commands_of(page) if (problem := problem_of(line))] == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("meshctl -C folder plan aws-east --out plan.json --output json", ""),
        ("meshctl migrations resume [ID] [--again STEP]", ""),
        ("meshctl fly", "no command fly"),
        ("meshctl migrations fly", "no command fly"),
        ("meshctl up aws-east --force", "no option --force"),
        ("meshctl doctor everything", "no argument everything"),
    ],
)
def test_a_wrong_command_is_found(line: str, problem: str) -> None:
    assert problem_of(line) == problem


def visible(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, sub in getattr(command, "commands", {}).items():
        if hasattr(sub, "commands"):
            yield from visible(sub, (*path, name))
        else:
            yield (*path, name), sub


def test_every_command_and_option_is_documented() -> None:
    opening, *parts = re.split(r"^## ", text_of(ROOT / "docs" / "cli.md"), flags=re.MULTILINE)
    missing = [option for option in options_of(ROOT_COMMAND) if f"`{option}" not in opening]
    for path, command in visible(ROOT_COMMAND):
        part = next((part for part in parts if path[0] in part.splitlines()[0].split(", ")), "")
        missing += [] if f"meshctl {' '.join(path)}" in part else [" ".join(path)]
        options = options_of(command).keys() - {"--help"}
        missing += [f"{' '.join(path)} {option}" for option in sorted(options) if option not in part]
    assert missing == []


def test_every_external_program_is_documented() -> None:
    page = text_of(ROOT / "docs" / "cli.md").partition("### Where `setup` gets programs from")[2]
    assert [name for name in TOOLS if f"`{name}`" not in page] == []


def test_every_step_of_a_migration_is_documented() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| (.+?) \|", text_of(ROOT / "docs" / "migrate.md"), re.MULTILINE))
    gateway = FakeGateway().begin()
    plan = migrations_of(gateway).plan("east", "west", OPTIONS)
    of_things = {move.store for move in plan.moves} | {endpoint.name for endpoint in plan.endpoints}
    missing = []
    for step in forward(plan):
        phase, _, name = step.name.partition("/")
        kind, dot, _ = name.partition(".")
        wanted = "one for each" if kind in of_things else f"`{kind}.STORE`" if dot else f"`{kind}`"
        missing += [] if wanted in rows.get(phase, "") else [step.name]
    assert missing == []


def error_classes(root: type[errors.MeshError]) -> Iterator[type[errors.MeshError]]:
    yield root
    for sub in root.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield from error_classes(sub)


def test_every_error_code_is_documented_with_its_exit_code() -> None:
    page = text_of(ROOT / "docs" / "errors.md")
    rows = {code: int(number) for code, number in re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", page, re.MULTILINE)}
    assert rows == {found.code: found.exit_code for found in error_classes(errors.MeshError)}


def test_every_hinted_code_is_documented() -> None:
    page = text_of(ROOT / "docs" / "errors.md").partition("## Codes of failed resources")[2]
    own = registry.merged(lambda platform: platform.words.failure_hints)
    assert [code for code in (*HINTS, *own) if f"`{code}`" not in page] == []


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation, however deep."""
    if annotation is PlatformEnvironment:
        yield from (platform.environment for platform in registry.platforms())
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from sections(inner)


def keys_of(model: type[BaseModel], seen: frozenset[type[BaseModel]] = frozenset()) -> set[str]:
    """Every key that may stand in the model's file, at any depth."""
    found: set[str] = set()
    for name, info in model.model_fields.items():
        found.add(info.alias or name)
        for section in sections(info.annotation):
            if section not in seen:
                found |= keys_of(section, seen | {model})
    return found


@pytest.mark.parametrize(("model", "page"), [(Mesh, "mesh.md"), (Environments, "environments.md")])
def test_every_key_is_documented(model: type[BaseModel], page: str) -> None:
    text = FENCE.sub("", text_of(ROOT / "docs" / page))
    quoted = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`[^`]+`", text))))
    keys = keys_of(model)
    assert {"pools", "apiVersion"} <= keys or {"environments", "objectStorage"} <= keys
    assert keys - quoted == set()


def test_every_platform_of_meshctl_has_a_section() -> None:
    headings = re.findall(r"^## provider: (.+)$", text_of(ROOT / "docs" / "environments.md"), re.MULTILINE)
    own = [name for name, source in registry.installed().sources.items() if source.startswith("meshctl ")]
    assert sorted(", ".join(headings).split(", ")) == own


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_no_path_of_a_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:root|work|tmp/lead|home/\w+)/", text_of(page)) == []
