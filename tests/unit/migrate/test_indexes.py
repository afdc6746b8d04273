"""An index is made again where a mesh is moved: the plan says for how long, and copies no bucket of Milvus."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from meshctl.catalog import load_catalog
from meshctl.errors import InfeasibleError
from meshctl.load import load
from meshctl.migrate import views
from meshctl.migrate.planning import indexes
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import MigrationPlan, plan_migration
from meshctl.model.deployment import Deployment
from meshctl.resolve import resolve
from meshrag import chunks, settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "rag"
catalog = functools.cache(load_catalog)
CORPUS = StoreFacts(store="documents", objects=10_000, total_bytes=700 * 62_000)


def moved(folder: Path, replaced: str = "", by: str = "", facts: tuple[StoreFacts, ...] = (CORPUS,)) -> MigrationPlan:
    """The example, with one text of mesh.yaml in place of another, from aws-east to cw."""
    source, target = (deployment(folder, environment, replaced, by) for environment in ("aws-east", "cw"))
    return plan_migration(source, target, facts, Options())


def deployment(folder: Path, environment: str, replaced: str = "", by: str = "") -> Deployment:
    text = (EXAMPLE / "mesh.yaml").read_text()
    assert replaced in text
    (folder / "mesh.yaml").write_text(text.replace(replaced, by) if replaced else text)
    mesh, environments = load(folder / "mesh.yaml", EXAMPLE / "environments.yaml")
    resolved = resolve(mesh, environments, environment, catalog()).deployment
    assert resolved is not None
    return resolved


def section(plan: MigrationPlan) -> list[str]:
    return views.plan_text(plan).partition("\nindexes\n")[2].partition("\n\n")[0].splitlines()


def test_the_plan_says_how_long_an_index_takes(tmp_path: Path) -> None:
    plan = moved(tmp_path)
    assert section(plan) == [
        "  docs-ingest: makes its index again at cw, while aws-east answers",
        "    of documents, 10000 objects, 41.4 MiB: about 72000 passages if all of it is text",
        "    about 30 min (measured 2026-11-28: all-MiniLM-L6-v2 on one CPU thread, 40 passages of 800 characters a"
        " second)",
    ]
    (index,) = views.plan_document(plan)["indexes"]
    assert index == {
        "workload": "docs-ingest",
        "documents": "documents",
        "objects": 10_000,
        "total_bytes": 43_400_000,
        "passages": 72_000,
        "minutes": 30.0,
        "source": "measured 2026-11-28: all-MiniLM-L6-v2 on one CPU thread, 40 passages of 800 characters a second",
    }
    assert plan.stays == ("docs-index: ephemeral",)


def test_both_environments_run_for_as_long_as_the_index_takes(tmp_path: Path) -> None:
    assert "about 30 min: seed and verify at the assumed rate, the index, 30 s of observing" in (
        moved(tmp_path).costs[0].what
    )


@pytest.mark.parametrize(
    ("replaced", "by", "reason"),
    [
        ("store: milvus ", "embedModel: BAAI/bge-m3 #", "no rate of BAAI/bge-m3 is known"),
        ("store: milvus ", "embed: 'https://models.example.com/v1' #", "no rate of models.example.com is known"),
        (
            "store: milvus ",
            "embed: {resources: {accelerators: 1}} #",
            "no rate of sentence-transformers/all-MiniLM-L6-v2 on an accelerator is known",
        ),
    ],
)
def test_a_time_that_nobody_has_measured_is_unknown(tmp_path: Path, replaced: str, by: str, reason: str) -> None:
    plan = moved(tmp_path, replaced, by)
    assert section(plan)[-1] == f"    unknown ({reason})"
    assert views.plan_document(plan)["indexes"][0]["minutes"] is None
    assert "the index" not in plan.costs[0].what


def test_several_servers_share_the_work(tmp_path: Path) -> None:
    """As many as requests are under way at once."""
    for replicas, requests, minutes, servers in ((2, "4", 15.0, 2), (9, "4", 7.5, 4), (9, "6", 5.0, 6)):
        more = f"embed: {{replicas: {replicas}}}\n    ingest: {{env: {{RAG_EMBED_REQUESTS: '{requests}'}}}} #"
        (index,) = moved(tmp_path, "store: milvus ", more).indexes
        assert (index.minutes, index.source.endswith(f"a second; {servers} servers")) == (minutes, True)


def test_no_documents_take_no_time(tmp_path: Path) -> None:
    empty = StoreFacts(store="documents", objects=0, total_bytes=0)
    assert section(moved(tmp_path, facts=(empty,)))[-1].startswith("    seconds (measured 2026-11-28: ")


def test_documents_of_a_file_system_are_not_counted(tmp_path: Path) -> None:
    files = "documents: {kind: filesystem, size: 1200GiB, ephemeral: true}"
    plan = moved(tmp_path, "documents: {kind: object, size: 1GiB}", files, ())
    assert section(plan)[1:] == [
        "    of documents, of unknown size",
        "    unknown (what is in storage that is not copied is not counted)",
    ]


def test_documents_that_both_environments_read_from_one_bucket_are_counted(tmp_path: Path) -> None:
    (index,) = indexes.remade(
        deployment(tmp_path, "cw"), {"documents": CORPUS.model_copy(update={"shared": True})}, frozenset()
    )
    assert (index.objects, index.minutes) == (10_000, 30.0)


def test_what_stays_paused_makes_no_index(tmp_path: Path) -> None:
    target = deployment(tmp_path, "cw")
    assert indexes.remade(target, {"documents": CORPUS}, frozenset({"docs-ingest"})) == ()


def test_an_index_that_takes_longer_than_its_pods_may_is_noted(tmp_path: Path) -> None:
    many = CORPUS.model_copy(update={"total_bytes": 700 * 1_000_000})
    (note,) = (each for each in moved(tmp_path, facts=(many,)).notes if each.startswith("the index of"))
    assert note.startswith("the index of docs-ingest takes about 7.0 h, and its pods may take 2.0 h to start: ")
    assert not [each for each in moved(tmp_path).notes if each.startswith("the index of")]


def test_a_mesh_without_an_index_has_no_section(tmp_path: Path) -> None:
    plan = moved(tmp_path, "store: milvus ", "ingest: off #")
    assert section(plan) == []
    assert "indexes" not in plan.model_dump()


def test_the_numbers_are_those_of_meshrag() -> None:
    told = {"RAG_EMBED_URL": "http://embed/v1", "RAG_STORE": "milvus://store:19530"}
    assert settings.read(told).embed_requests == indexes.REQUESTS
    assert indexes.PASSAGE_CHARACTERS == chunks.CHUNK_CHARACTERS - chunks.OVERLAP_CHARACTERS


OF_MILVUS = """
workloads:
  vectors: {kind: service, pool: serve, image: "IMAGE", mounts: {segments: {path: /segments}}}
"""
SEGMENTS = StoreFacts(store="segments", objects=9, total_bytes=9)


def with_milvus(folder: Path, image: str, storage: str = "{kind: object, size: 1TiB}", **fact: Any) -> MigrationPlan:
    """The example with a Milvus of its user's own, whose bucket is one of the mesh."""
    facts = (CORPUS, SEGMENTS.model_copy(update=fact))
    replaced = "\nblueprints:"
    by = f"  segments: {storage}\n{OF_MILVUS.replace('IMAGE', image)}{replaced}"
    return moved(folder, replaced, by, facts)


@pytest.mark.parametrize("image", ["milvusdb/milvus:v2.6.5", "registry.example.com/hub/milvusdb/milvus:v2.5.4"])
def test_a_bucket_of_milvus_is_not_copied_without_its_etcd(tmp_path: Path, image: str) -> None:
    with pytest.raises(InfeasibleError, match="storage/segments: a bucket that is usable as a copy") as caught:
        with_milvus(tmp_path, image)
    assert caught.value.why.startswith(
        "storage/segments: Milvus (vectors) keeps its segments in it, and their metadata in"
    )
    assert "set `ephemeral: true` on segments in mesh.yaml" in caught.value.hint
    assert "milvus-backup" in caught.value.hint


def test_a_bucket_of_milvus_that_is_not_copied_is_no_matter(tmp_path: Path) -> None:
    image = "milvusdb/milvus:v2.6.5"
    ephemeral = with_milvus(tmp_path, image, "{kind: object, size: 1TiB, ephemeral: true}")
    assert "segments: ephemeral" in ephemeral.stays
    assert with_milvus(tmp_path, "acme/milvus-exporter:1").move("segments").objects == 9


def test_check_says_that_a_bucket_of_milvus_stays_behind(tmp_path: Path) -> None:
    deployment(tmp_path, "cw")  # writes mesh.yaml
    file = tmp_path / "mesh.yaml"
    milvus = OF_MILVUS.replace("IMAGE", "milvusdb/milvus:v2.6.5")
    file.write_text(
        file.read_text().replace("\nblueprints:", f"  segments: {{kind: object, size: 1TiB}}\n{milvus}\nblueprints:")
    )
    mesh, environments = load(file, EXAMPLE / "environments.yaml")
    resolution = resolve(mesh, environments, "cw", catalog())
    assert resolution.stays_behind == {"segments": "bucket of Milvus"}
