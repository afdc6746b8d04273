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


@pytest.mark.parametrize(
    ("mirrors", "is_noted"),
    [
        ("", True),
        ("{docker.io: hub.example.com/mirror}", True),
        ("{ghcr.io/meshctl/rag: registry.example.com/rag}", False),
        ("{ghcr.io: registry.example.com/ghcr}", False),
    ],
)
def test_an_image_that_is_not_published_is_noted_until_its_place_is_named(
    tmp_path: Path, mirrors: str, *, is_noted: bool
) -> None:
    given = (RAG / "environments.yaml").read_text()
    file = tmp_path / "environments.yaml"
    file.write_text(given.replace("provider: onprem", f"provider: onprem\n    images: {mirrors}") if mirrors else given)
    mesh, environments = load(RAG / "mesh.yaml", file)
    notes = [note for note in resolve(mesh, environments, "dc1", load_catalog()).notes if "not published" in note]
    assert notes == is_noted * [
        "the image ghcr.io/meshctl/rag:0.2 of docs-ingest, docs is not published: build it from images/rag, push it,"
        " and write its place into environments.yaml: `images: {ghcr.io/meshctl/rag: REGISTRY/rag}` of dc1"
    ]


def test_it_becomes_what_it_was(golden: Golden) -> None:
    printed = CliRunner().invoke(app, ["--mesh", str(EXAMPLE / "mesh.yaml"), "blueprint", "show"])
    golden("blueprints/example.yaml", printed.stdout)


def test_each_part_becomes_what_it_was(golden: Golden) -> None:
    file = Path(__file__).parent / "every_part.yaml"
    golden("blueprints/every_part.yaml", CliRunner().invoke(app, ["--mesh", str(file), "blueprint", "show"]).stdout)
