"""examples/blueprints fits every environment, and becomes what the golden file has: another image of a part, or another
argument, would roll what is up, and is to be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshctl.catalog import load_catalog
from meshctl.cli.main import app
from meshctl.load import load
from meshctl.resolve import resolve
from tests.golden_files import Golden

EXAMPLE = Path(__file__).parents[3] / "examples" / "blueprints"
RAG = EXAMPLE.with_name("rag")


@pytest.mark.parametrize("environment", ["aws-east", "cw", "dc1"])
def test_it_fits(environment: str) -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    resolution = resolve(mesh, environments, environment, load_catalog())
    assert resolution.gaps == ()
    assert [note for note in resolution.notes if note.startswith("blueprint")] == [
        "blueprint chat makes workload chat, endpoint chat; `meshctl blueprint show chat` prints them",
        "blueprint tune makes storage tune-checkpoints, workload tune; `meshctl blueprint show tune` prints them",
        "blueprint lab makes workload lab, endpoint lab; `meshctl blueprint show lab` prints them",
    ]


@pytest.mark.parametrize("environment", ["aws-east", "cw", "dc1"])
def test_rag_fits(environment: str) -> None:
    mesh, environments = load(RAG / "mesh.yaml", RAG / "environments.yaml")
    resolution = resolve(mesh, environments, environment, load_catalog())
    assert resolution.gaps == ()
    assert [note for note in resolution.notes if note.startswith("blueprint")] == [
        "blueprint docs makes storage docs-index, workload docs-llm, workload docs-embed, workload docs-rerank, "
        "workload docs-store, workload docs-ingest, workload docs, endpoint docs; "
        "`meshctl blueprint show docs` prints them",
        "blueprint docs makes its index from its documents in each environment: `migrate` moves the documents, and "
        "names once the index is complete there",
    ]


def test_it_becomes_what_it_was(golden: Golden) -> None:
    printed = CliRunner().invoke(app, ["--mesh", str(EXAMPLE / "mesh.yaml"), "blueprint", "show"])
    golden("blueprints/example.yaml", printed.stdout)


def test_each_part_becomes_what_it_was(golden: Golden) -> None:
    file = Path(__file__).parent / "every_part.yaml"
    golden("blueprints/every_part.yaml", CliRunner().invoke(app, ["--mesh", str(file), "blueprint", "show"]).stdout)
