"""What comes from files, arguments and clusters is printed with nothing that a terminal would act on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from meshctl.cli import streams
from meshctl.cli.context import progress_line
from meshctl.engine.events import Progress
from meshctl.operate.status import EnvironmentStatus, WorkloadStatus, status_text
from meshctl.printable import escaped, one_line
from tests.command_line import meshctl

EVIL = "a\x1b[2Kb\x07\x9b31m\r\u202ec\u2066\u200bd\u2028e\x7f\U000e0041"
SHOWN = r"a\u001b[2Kb\u0007\u009b31m\u000d\u202ec\u2066\u200bd\u2028e\u007f\U000e0041"
ACTED_ON = set(EVIL) - set("a[2Kb31mcde")
MESH = "apiVersion: meshctl/v1\nkind: Mesh\nname: m\npools:\n  p: {nodes: 1}\n"
ENVIRONMENTS = (
    "apiVersion: meshctl/v1\nkind: Environments\nenvironments:\n"
    "  e: {provider: coreweave, region: US-EAST-04A, storageClasses: {filesystem: %s}}\n"
)


def test_only_what_cannot_be_seen_is_shown_as_a_number() -> None:
    assert escaped(EVIL) == one_line(EVIL) == SHOWN
    assert escaped("zwei\nZeilen") == "zwei\nZeilen"
    assert one_line("zwei\nZeilen\t") == r"zwei\u000aZeilen\u0009"
    for seen in ("Größe: 5 µs → ±", "日本\u3000語", "1\u00a0000", "مرحبا", "🚀", "\\u202e"):
        assert escaped(seen) == one_line(seen) == seen
    assert json.loads(f'"{one_line(EVIL[:-1])}"') == EVIL[:-1]


def test_a_stream_takes_them_from_whoever_writes() -> None:
    raw = io.BytesIO()
    stream = streams.PrintableStream(io.TextIOWrapper(raw, encoding="utf-8"))
    print(EVIL, file=stream)
    stream.writelines([EVIL, "\n"])
    streams.write_styled(stream, EVIL, "31")
    stream.flush()
    assert raw.getvalue().decode() == f"{SHOWN}\n{SHOWN}\n\x1b[31m{SHOWN}\x1b[0m"


def test_a_line_of_progress_and_of_a_status_is_one_line() -> None:
    assert progress_line(Progress("s", "d", "message", f"x\ny{EVIL}")) == rf"...       s d: x\u000ay{SHOWN}"
    status = EnvironmentStatus("e", "up", workloads=(WorkloadStatus("w", "batch", 0, 1, 0, 0, f"x\n  pool{EVIL}"),))
    assert len(status_text(status).splitlines()) == 2
    assert SHOWN in status_text(status)


@pytest.mark.parametrize("output", ["human", "json"])
def test_nothing_of_a_file_or_an_argument_reaches_the_terminal(tmp_path: Path, output: str) -> None:
    text = json.dumps(f"{EVIL[:-1]}\nerror: forged")  # YAML knows no surrogates
    for mesh, environments, arguments in (
        (f"{MESH}storage:\n  s: {{kind: filesystem, size: 1TiB}}\n", ENVIRONMENTS % text, ("check", "-v")),
        (MESH.replace("name: m", f"name: {text}"), ENVIRONMENTS % "s", ("check",)),
        (f"{MESH}? {text}\n: 1\n", ENVIRONMENTS % "s", ("check",)),
        (MESH, ENVIRONMENTS % "s", ("check", EVIL)),
        (MESH, ENVIRONMENTS % "s", (f"--{EVIL}",)),
        (MESH, ENVIRONMENTS % "s", (EVIL,)),
        (MESH, ENVIRONMENTS % "s", ("check", "--mesh", f"{EVIL}.yaml")),
        (MESH, ENVIRONMENTS % "s", ("--debug", "check", EVIL)),
    ):
        (tmp_path / "mesh.yaml").write_text(mesh, encoding="utf-8")
        (tmp_path / "environments.yaml").write_text(environments, encoding="utf-8")
        done = meshctl("--output", output, *arguments, folder=tmp_path)
        assert not ACTED_ON & set(done.stdout + done.stderr), arguments
        assert "internal error" not in done.stderr, arguments
        assert "\nerror: forged" not in done.stdout + done.stderr, arguments
        assert r"\u202e" in done.stdout + done.stderr, arguments
        if output == "json":
            assert json.loads(done.stdout), arguments
