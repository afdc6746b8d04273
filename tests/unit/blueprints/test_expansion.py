"""What blueprints become: ordinary workloads, storage and endpoints, with the user's own keys on top."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import yaml

from meshctl.blueprints import offer
from meshctl.blueprints.expansion import expand
from meshctl.catalog import load_catalog
from meshctl.model.environment import Environments
from meshctl.model.files.file_problems import mapping
from meshctl.model.files.references import check_mesh
from meshctl.model.keys.blueprints import KINDS, SLOTS
from meshctl.model.mesh import Mesh, Workload
from meshctl.model.pods.texts import check_mesh as check_texts
from meshctl.resolve import resolve
from meshrag import settings

Section = dict[str, Any]
HEAD = """
apiVersion: meshctl/v1
kind: Mesh
name: m
pools:
  gpu: {role: inference, nodes: 4, accelerator: {model: H100, count: 8}}
  web: {nodes: 2, cpu: {cores: 8}}
storage:
  weights: {kind: object, size: 100GiB}
  shared: {kind: filesystem, size: 1TiB}
"""
SERVE = {"kind": "serve", "pool": "gpu", "model": "org/llama"}
TRAIN = {"kind": "train", "pool": "gpu", "image": "acme/train:1", "checkpoints": "10TiB"}
RAG = {"kind": "rag", "pool": "web", "corpus": "shared", "model": "org/llama"}
READABLE = {"RAG_EMBED_URL": "http://w-embed/v1", "RAG_STORE": "milvus://w-store:19530"}
NOTEBOOK = {"kind": "notebook", "pool": "web", "token": "jupyter"}


def expanded(more: Section | None = None, **blueprints: Section) -> Section:
    """The mesh with what its blueprints make, which is valid."""
    expansion = expand({**yaml.safe_load(HEAD), **(more or {}), "blueprints": blueprints})
    assert expansion.problems == []
    data: Section = mapping(expansion.data)
    assert [*check_mesh(data), *check_texts(data)] == []
    Mesh.model_validate(data)
    return data


def workload(section: Section) -> Section:
    one: Section = expanded(w=section)["workloads"]["w"]
    return one


def test_a_mesh_without_blueprints_is_handed_on_as_it_is() -> None:
    shapes: list[Any] = [yaml.safe_load(HEAD), {"blueprints": {}}, {"blueprints": []}, {"blueprints": None}, [], None]
    for data in shapes:
        before = repr(data)
        assert expand(data).data is data
        assert expand(data).origin(("workloads", "w", "env")) == ("workloads", "w", "env")
        assert repr(data) == before


def test_the_file_is_not_changed() -> None:
    data = {**yaml.safe_load(HEAD), "blueprints": {"w": {**SERVE, "llm": {"env": {"A": "b"}}}}}
    before = repr(data)
    expand(data)
    assert repr(data) == before


def test_serve_a_model_of_a_hub() -> None:
    assert workload(SERVE) == {
        "kind": "inference",
        "pool": "gpu",
        "image": "vllm/vllm-openai:v0.11.0",
        "args": ["--model", "org/llama", "--port", "8000", "--tensor-parallel-size", "$(MESH_ACCELERATORS)"],
        "ports": {"http": 8000},
        "health": {"path": "/health", "port": "http"},
        "metrics": {"port": "http"},
        "resources": {"accelerators": "all"},
    }


def test_serve_weights_of_the_mesh_and_of_its_own() -> None:
    made = workload({**SERVE, "weights": "weights", "replicas": {"min": 1, "max": 2}, "accelerators": 2})
    assert made["args"][:4] == ["--model", "/models/org/llama", "--served-model-name", "org/llama"]
    assert made["mounts"] == {"weights": {"path": "/models", "readOnly": True}}
    assert (made["replicas"], made["resources"]) == ({"min": 1, "max": 2}, {"accelerators": 2})
    data = expanded(w={**SERVE, "weights": "200GiB"})
    assert data["storage"]["w-weights"] == {"kind": "object", "size": "200GiB"}
    assert list(data["workloads"]["w"]["mounts"]) == ["w-weights"]


def test_serve_by_other_parts() -> None:
    sglang = workload({**SERVE, "llm": "sglang"})
    assert sglang["image"].startswith("lmsysorg/sglang:")
    assert sglang["command"] == ["python3", "-m", "sglang.launch_server"]
    assert sglang["args"][:2] == ["--model-path", "org/llama"]
    assert "--host" in sglang["args"]  # it listens on localhost alone without
    own = workload({**SERVE, "llm": {"part": "own", "image": "nvcr.io/nim/meta/llama:1"}})
    assert (own["image"], own["ports"], "args" in own) == ("nvcr.io/nim/meta/llama:1", {"http": 8000}, False)


def test_a_pool_without_accelerators_gives_none() -> None:
    made = workload({**SERVE, "pool": "web"})
    assert "resources" not in made
    assert "--tensor-parallel-size" not in made["args"]
    assert "--tensor-parallel-size" not in workload({**SERVE, "accelerators": 0})["args"]


def test_an_endpoint_by_its_host_or_by_its_keys() -> None:
    by_host = expanded(w={**SERVE, "endpoint": "chat.example.com"})["endpoints"]
    assert by_host == {"w": {"host": "chat.example.com", "workload": "w", "port": "http"}}
    keys = {"host": "chat.example.com", "access": "public", "tls": True}
    assert expanded(w={**SERVE, "endpoint": keys})["endpoints"]["w"] == {**keys, "workload": "w", "port": "http"}


def test_train_by_torchrun() -> None:
    data = expanded(w={**TRAIN, "script": "train.py", "nodes": 4, "data": "shared"})
    made = data["workloads"]["w"]
    assert made["command"][0] == "torchrun"
    assert made["command"][-1] == "train.py"
    assert made["env"] == {"CHECKPOINTS": "$(MESH_W_CHECKPOINTS_URL)"}
    assert made["mounts"] == {"w-checkpoints": {"path": "/checkpoints"}, "shared": {"path": "/data", "readOnly": True}}
    assert (made["checkpoint"], made["nodes"]) == ({"storage": "w-checkpoints"}, 4)
    assert data["storage"]["w-checkpoints"] == {"kind": "object", "size": "10TiB"}


def test_train_with_the_program_of_the_image_and_files() -> None:
    made = workload({**TRAIN, "checkpoints": "shared", "trainer": {"checkpoint": {"grace": "10m"}}})
    assert "command" not in made
    assert made["env"] == {"CHECKPOINTS": "/checkpoints"}
    assert made["checkpoint"] == {"storage": "shared", "grace": "10m"}


def test_storage_that_another_blueprint_makes() -> None:
    """In whatever order they stand: an object store is a URL, not a folder."""
    data = expanded(first={**TRAIN, "checkpoints": "second-checkpoints"}, second=TRAIN)
    assert data["workloads"]["first"]["env"] == {"CHECKPOINTS": "$(MESH_SECOND_CHECKPOINTS_URL)"}


def test_a_notebook() -> None:
    data = expanded(w={**NOTEBOOK, "home": "100GiB", "data": "weights", "endpoint": "lab.example.com"})
    made = data["workloads"]["w"]
    assert data["storage"]["w-home"] == {"kind": "block", "size": "100GiB"}
    assert (made["kind"], made["secrets"], made["env"]) == (
        "service", {"JUPYTER_TOKEN": "jupyter"}, {"HOME": "/home/mesh"}
    )  # fmt: skip
    assert "--ServerApp.root_dir=/home/mesh" in made["args"]
    assert "--ServerApp.root_dir=/tmp" in workload(NOTEBOOK)["args"]
    images = [workload({**NOTEBOOK, "pool": pool})["image"] for pool in ("web", "gpu")]
    assert [image.partition(":")[0] for image in images] == [
        "quay.io/jupyter/scipy-notebook", "quay.io/jupyter/pytorch-notebook"
    ]  # fmt: skip


@pytest.mark.parametrize("key", [info.alias for name, info in Workload.model_fields.items() if name != "kind"])
@pytest.mark.parametrize("section", [SERVE, TRAIN, NOTEBOOK, RAG], ids=lambda section: section["kind"])
def test_every_key_of_a_workload_can_be_written_into_a_slot(section: Section, key: str) -> None:
    slot = SLOTS[section["kind"]]
    data: Any = expand({**yaml.safe_load(HEAD), "blueprints": {"w": {**section, slot: {key: "mine"}}}}).data
    assert data["workloads"]["w"][key] == "mine"


def test_mappings_are_merged_and_arguments_come_last() -> None:
    made = workload({**SERVE, "llm": {"env": {"A": "b"}, "health": {"startup": "2h"}, "args": ["--seed", "1"]}})
    assert made["health"] == {"path": "/health", "port": "http", "startup": "2h"}
    assert made["args"][-2:] == ["--seed", "1"]
    assert made["args"][0] == "--model"
    trained = workload({**TRAIN, "trainer": {"env": {"CHECKPOINTS": "/elsewhere", "A": "b"}}})
    assert trained["env"] == {"CHECKPOINTS": "/elsewhere", "A": "b"}


def test_a_command_leaves_nothing_of_the_parts_own() -> None:
    assert "args" not in workload({**SERVE, "llm": {"command": ["serve"]}})
    made = workload({**SERVE, "llm": {"command": ["serve"], "args": ["--fast"]}})
    assert (made["command"], made["args"]) == (["serve"], ["--fast"])


def test_a_port_of_the_users_own_is_told_to_the_part() -> None:
    made = workload({**SERVE, "llm": {"ports": {"http": 9000}}})
    assert (made["ports"], made["args"][2:4]) == ({"http": 9000}, ["--port", "9000"])
    assert "--port=9000" in workload({**NOTEBOOK, "notebook": {"ports": {"http": 9000}}})["args"]


def test_what_is_offered_is_what_the_model_has() -> None:
    kinds = {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in KINDS}
    assert [each.kind for each in offer.OFFERS] == list(kinds)
    for each in offer.OFFERS:
        names = [slot.name for slot in each.slots]
        assert SLOTS[each.kind] in names
        assert set(names) <= set(kinds[each.kind].model_fields)


def test_it_resolves_to_the_same_as_the_workloads_written_out() -> None:
    """What is persisted and planned knows no blueprint: not a byte of the deployment is other."""
    blueprints = {"chat": {**SERVE, "weights": "weights"}, "lab": NOTEBOOK}
    data = expanded(**blueprints)
    written = {key: value for key, value in data.items() if key != "blueprints"}
    environment = {"provider": "coreweave", "region": "US-EAST-04A", "kubernetes": {"context": "cw"}}
    storage = {"objectStorage": {"endpoint": "https://cwobject.com", "profile": "cw"}}
    environments = Environments.model_validate(
        {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"cw": {**environment, **storage}}}
    )
    first, second = (
        resolve(Mesh.model_validate(each), environments, "cw", load_catalog()).deployment for each in (data, written)
    )
    assert first is not None
    assert second is not None
    assert first.model_dump_json() == second.model_dump_json()


@pytest.mark.parametrize(
    ("section", "keys"),
    [(SERVE, ("weights", "replicas", "accelerators")), (TRAIN, ("script", "nodes", "data")), (NOTEBOOK, ("home",))],
    ids=["serve", "train", "notebook"],
)
def test_a_key_without_a_value_is_as_if_it_were_not_there(section: Section, keys: tuple[str, ...]) -> None:
    assert workload({**section, **dict.fromkeys(keys)}) == workload(section)


def test_a_mount_of_a_part_is_merged_too() -> None:
    """What the blueprint mounts for one of its keys is a mapping as others are."""
    made = workload({**TRAIN, "data": "shared", "trainer": {"mounts": {"shared": {"readOnly": False}}}})
    assert made["mounts"]["shared"] == {"path": "/data", "readOnly": False}
    served = workload({**SERVE, "weights": "weights", "llm": {"mounts": {"shared": {"path": "/shared"}}}})
    assert served["mounts"] == {"weights": {"path": "/models", "readOnly": True}, "shared": {"path": "/shared"}}


REPLACEABLE = ("llm", "embed", "rerank", "ingest", "api", "ui")
RAG_WORKLOADS = {"w-llm", "w-embed", "w-rerank", "w-store", "w-ingest", "w"}


def test_rag_is_six_workloads_and_a_volume_that_does_not_last() -> None:
    data = expanded(w={**RAG, "endpoint": "docs.example.com"})
    assert set(data["workloads"]) == RAG_WORKLOADS
    assert data["storage"]["w-index"] == {"kind": "block", "size": "20GiB", "ephemeral": True}
    assert data["endpoints"]["w"]["workload"] == "w"
    assert data["workloads"]["w-ingest"]["mounts"] == {"shared": {"path": "/corpus", "readOnly": True}}


def test_api_and_ingestion_are_told_where_the_others_are() -> None:
    made = expanded(w={**RAG, "llm": {"ports": {"http": 9000}}, "embed": {"ports": {"http": 9001}}})["workloads"]
    assert made["w"]["env"] == {
        "RAG_LLM_URL": "http://w-llm:9000/v1",
        "RAG_LLM_MODEL": "org/llama",
        "RAG_EMBED_URL": "http://w-embed:9001/v1",
        "RAG_EMBED_MODEL": "sentence-transformers/all-MiniLM-L6-v2",
        "RAG_STORE": "milvus://w-store:19530",
        "RAG_COLLECTION": "documents",
        "RAG_RERANK_URL": "http://w-rerank:8080/rerank",
        "RAG_PORT": "8080",
    }
    shared = {"RAG_EMBED_URL", "RAG_EMBED_MODEL", "RAG_STORE", "RAG_COLLECTION"}
    assert {name: made["w-ingest"]["env"][name] for name in shared} == {name: made["w"]["env"][name] for name in shared}
    assert made["w-ingest"]["env"]["RAG_CORPUS"] == "/corpus"
    assert made["w-embed"]["env"]["PORT"] == "9001"


@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        ({"rerank": "off"}, {"w-rerank"}),
        ({"ingest": "off"}, {"w-ingest"}),
        ({"llm": "https://api.example.com/v1"}, {"w-llm"}),
        ({"embed": {"url": "https://api.example.com/v1"}}, {"w-embed"}),
        ({"store": "milvus://milvus.example.com:19530"}, {"w-store"}),
        ({"rerank": "https://api.example.com/v1/rerank"}, {"w-rerank"}),
    ],
)
def test_a_slot_that_is_off_or_elsewhere_has_no_workload(keys: Section, missing: set[str]) -> None:
    data = expanded(w={**RAG, **keys})
    assert set(data["workloads"]) == RAG_WORKLOADS - missing
    assert ("w-index" in data["storage"]) == ("w-store" not in missing)
    urls = [value for value in data["workloads"]["w"]["env"].values() if "://" in value]
    (value,) = keys.values()
    given = value["url"] if isinstance(value, dict) else value
    assert given in {*urls, "off"}
    assert not [url for url in urls if any(f"//{name}:" in url for name in missing)]


def test_without_a_language_model_passages_are_found_alone() -> None:
    keys = {key: value for key, value in RAG.items() if key != "model"}
    made = expanded(w={**keys, "llm": "off"})["workloads"]
    assert set(made) == RAG_WORKLOADS - {"w-llm"}
    assert not [name for name in made["w"]["env"] if name.startswith("RAG_LLM")]


IMAGE = {"image": "acme/own:1", "command": ["serve"]}


@pytest.mark.parametrize(("slot", "name"), [(each, f"w-{each}" if each != "api" else "w") for each in REPLACEABLE])
def test_each_slot_takes_an_image_of_ones_own_which_is_told_what_its_part_was(slot: str, name: str) -> None:
    """Nothing of the part remains but the contract: the port, and the variables by which it is told of the others."""
    data = expanded(w={**RAG, slot: {"part": "own", **IMAGE}})["workloads"]
    usual = expanded(w=RAG)["workloads"]
    assert (data[name]["image"], data[name]["command"]) == ("acme/own:1", ["serve"])
    assert data[name]["ports"] == usual.get(name, {"ports": {"http": 8080}})["ports"]
    assert not {"args", "health"} & data[name].keys()
    told = {variable for variable in usual.get(name, {}).get("env", {}) if variable.startswith("RAG_")}
    assert told <= data[name].get("env", {}).keys()
    others = {each for each in usual if each != name}
    assert {each: usual[each] for each in others if slot != "rerank" or each != "w"} == {
        each: data[each] for each in others if slot != "rerank" or each != "w"
    }


def test_a_store_of_ones_own_image_keeps_its_contract() -> None:
    """There is no part `own`: what a store is asked by is its protocol. Another image of it is its `image`."""
    for store, port in (("milvus", {"milvus": 19530, "metrics": 9091}), ("pgvector", {"postgres": 5432})):
        made = expanded(w={**RAG, "store": {"part": store, "image": "acme/store:1"}})["workloads"]["w-store"]
        assert (made["image"], made["ports"]) == ("acme/store:1", port)


def test_a_reranker_of_ones_own_is_asked_as_jina_has_it() -> None:
    made = expanded(w={**RAG, "rerank": {"part": "own", **IMAGE}})["workloads"]["w"]["env"]
    assert made["RAG_RERANK_URL"] == "http://w-rerank:8080/v1/rerank"


def test_the_store_is_another_by_one_line() -> None:
    milvus, pgvector = (expanded(w={**RAG, "store": part})["workloads"] for part in ("milvus", "pgvector"))
    assert {name for name in milvus if milvus[name] != pgvector[name]} == {"w-store", "w", "w-ingest"}
    differing = {name for name, value in milvus["w"]["env"].items() if pgvector["w"]["env"][name] != value}
    assert differing == {"RAG_STORE"}


STORE = "postgresql://docs@db.example.com:5432/docs"


def collections(mesh: str, name: str, **keys: Any) -> dict[str, tuple[str, str]]:
    """Of each workload that asks the store: the name of its collection, and the environment that is told apart."""
    data = expanded({"name": mesh}, **{name: {**RAG, **keys}})
    envs = {each: made.get("env", {}) for each, made in data["workloads"].items()}
    return {
        each: (env["RAG_COLLECTION"], env.get("RAG_ENVIRONMENT", ""))
        for each, env in envs.items()
        if "RAG_COLLECTION" in env
    }


def test_a_store_of_its_own_has_one_collection_for_all() -> None:
    for store in ("milvus", "pgvector"):
        assert set(collections("m", "w", store=store).values()) == {("documents", "")}


def test_a_store_elsewhere_has_a_collection_for_each_mesh_blueprint_and_environment() -> None:
    """Whoever shares one would remove the chunks of the others, and answer from their documents."""
    longest = "a" * 30
    names = [("m", "w"), ("m", "v"), ("n", "w"), ("a-b", "c"), ("a", "b-c")]
    names += [(longest, "w"), (longest, "v"), ("m", "w" * 20)]
    made = [collections(mesh, name, store=STORE) for mesh, name in names]
    assert all(len(set(each.values())) == 1 for each in made)
    assert {environment for each in made for _, environment in each.values()} == {"$(MESH_ENVIRONMENT)"}
    collection_names = {name for each in made for name, _ in each.values()}
    assert len(collection_names) == len(names)
    read = [settings.read({**READABLE, "RAG_COLLECTION": name}).collection for name in collection_names]
    assert set(read) == collection_names
    assert collections("prod", "docs", store=STORE)["docs"][0].startswith("prod_docs_")


def test_an_index_that_another_program_keeps_has_its_name() -> None:
    assert collections("m", "w", store=STORE, ingest="off") == {"w": ("documents", "")}
    of_other = {"RAG_COLLECTION": "theirs", "RAG_ENVIRONMENT": "cw"}
    assert collections("m", "w", store=STORE, ingest="off", api={"env": of_other}) == {"w": ("theirs", "cw")}


def test_a_named_index_lasts_and_a_size_does_not() -> None:
    disk = {"storage": {**yaml.safe_load(HEAD)["storage"], "disk": {"kind": "block", "size": "1TiB"}}}
    data = expanded(disk, w={**RAG, "index": "disk"})
    assert "disk" in data["workloads"]["w-store"]["mounts"]
    assert "w-index" not in data["storage"]
    assert expanded(w={**RAG, "index": "1TiB"})["storage"]["w-index"]["size"] == "1TiB"


def test_keys_of_a_page_are_enough_to_have_one() -> None:
    page = expanded(w={**RAG, "ui": {"image": "acme/page:1"}})["workloads"]["w-ui"]
    assert page["env"] == {"OPENAI_API_BASE_URL": "http://w:8080/v1"}
