"""What is wrong with a blueprint, or with what it makes, is said once, at the user's own line."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import DiagnosticsError
from meshctl.load import load, load_mesh

MESH = """apiVersion: meshctl/v1
kind: Mesh
name: m
pools:
  gpu: {nodes: 2, accelerator: {model: H100, count: 8}}
  web: {nodes: 1}
storage:
  weights: {kind: object, size: 1TiB}
  disk: {kind: block, size: 1TiB}
blueprints:
  chat:
"""
SERVE = "kind: serve, pool: gpu, model: llama"
TRAIN = "kind: train, pool: gpu, image: 'acme/train:1', checkpoints: 1TiB"
NOTEBOOK = "kind: notebook, pool: web, token: jupyter"
RAG = "kind: rag, pool: web, corpus: weights, model: llama"
SECRET = "sk-Ab12.not-a-name"


def problems(folder: Path, keys: str, more: str = "") -> list[str]:
    """`line: path: message` of each, for a blueprint whose keys stand in line 11."""
    file = folder / "mesh.yaml"
    file.write_text(MESH.replace("chat:\n", f"chat: {keys}\n") + more)
    with pytest.raises(DiagnosticsError) as caught:
        load_mesh(file)
    return [f"{each.line}: {each.path}: {each.message}" for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("{kind: rags}", 'chat.kind: expected one of serve, train, notebook, rag; got "rags"'),
        ("{kind: [serve]}", "chat.kind: expected one of serve, train, notebook, rag; got a list"),
        ("{pool: gpu}", 'chat: missing key "kind": one of serve, train, notebook, rag'),
        ("[]", "chat: expected a mapping, got a list"),
        ("serve", 'chat: expected a mapping, got "serve"'),
        ("{kind: serve, pool: gpu}", 'chat: missing key "model"'),
        ("{kind: train, pool: gpu, checkpoints: 1TiB}", 'chat: missing key "image"'),
        (f"{{{SERVE}, modle: x}}", 'chat.modle: unknown key "modle"; did you mean "model"?'),
        (
            f"{{{SERVE}, env: {{A: b}}}}",
            'chat.env: "env" is a key of the blueprint\'s workload; write it into the slot: `llm: {env: …}`',
        ),
        (
            f"{{{TRAIN}, workingDir: /app}}",
            'chat.workingDir: "workingDir" is a key of the blueprint\'s workload;'
            " write it into the slot: `trainer: {workingDir: …}`",
        ),
        (f"{{{SERVE}, replicas: many}}", "chat.replicas: expected a whole number or {min, max}, got "),
        (f"{{{SERVE}, accelerators: some}}", "chat.accelerators: expected a whole number"),
        (f"{{{SERVE}, llm: vlm}}", 'chat.llm: no part "vlm" for llm; choose one of vllm, sglang, own; did you mean'),
        (f"{{{SERVE}, llm: {{part: nim}}}}", 'chat.llm.part: no part "nim" for llm; choose one of vllm, sglang, own'),
        (f"{{{SERVE}, llm: {{part: [vllm]}}}}", "chat.llm.part: no part \"['vllm']\" for llm; choose one of vllm, "),
        (f"{{{SERVE}, llm: own}}", 'chat.llm: part "own" is an image of yours; name it: `llm: {part: own, image: …}`'),
        (f"{{{SERVE}, llm: false}}", "chat.llm: expected the name of a part, or a mapping of a workload's keys like "),
        (f"{{{SERVE}, llm: {{}}}}", "chat.llm: expected the name of a part, or a mapping of a workload's keys like "),
        (f"{{{SERVE}, llm: {{kind: service}}}}", "chat.llm.kind: the kind of this workload follows from the bl"),
        (f"{{{SERVE}, endpoint: 8}}", "chat.endpoint: expected a host name like chat.example.com, or keys of an en"),
        (f"{{{SERVE}, weights: disk}}", 'chat.weights: "disk" is block storage; this takes object or filesystem sto'),
        (f"{{{TRAIN}, trainer: torchrun}}", "chat.trainer: torchrun starts a script on each node; name it: `script: "),
        (f"{{{TRAIN}, script: a.py, trainer: own}}", "chat.script: only torchrun starts a script; leave it out, or "),
        (
            f"{{{RAG}, vectorStore: milvus}}",
            'chat.vectorStore: unknown key "vectorStore"; a blueprint `rag` has `store: ',
        ),
        (f"{{{RAG}, reranker: off}}", 'chat.reranker: unknown key "reranker"; did you mean "rerank"?'),
        (
            f"{{{RAG}, env: {{A: b}}}}",
            'chat.env: "env" is a key of the blueprint\'s workload; write it into the slot: `api: {env: …}`',
        ),
        (
            f"{{{RAG}, store: milvos}}",
            'chat.store: no part "milvos" for store; choose one of milvus, pgvector, or a URL like'
            ' milvus://milvus.example.com:19530; did you mean "milvus"?',
        ),
        (f"{{{RAG}, llm: off}}", "chat.model: nothing here uses it, as `llm` is off; leave it out"),
        ("{kind: rag, pool: web, corpus: weights}", 'chat: missing key "model"'),
        ("{kind: rag, pool: web, corpus: weights, llm: 'https://a.b/v1'}", 'chat: missing key "model"'),
        (
            "{kind: rag, pool: web, corpus: weights, llm: off, accelerators: 1}",
            "chat.accelerators: nothing here uses it, as `llm` is off; leave it out",
        ),
        (f"{{{RAG}, embed: off}}", 'chat.embed: no part "off" for embed; choose one of tei, own, or a URL like http'),
        (f"{{{RAG}, store: off}}", 'chat.store: no part "off" for store; choose one of milvus, pgvector, or a URL lik'),
        (f"{{{RAG}, api: off}}", 'chat.api: no part "off" for api; choose one of meshrag, own'),
        (f"{{{RAG}, ui: on}}", 'chat.ui: no part "on" for ui; choose one of own, off'),
        (f"{{{RAG}, ui: own}}", 'chat.ui: part "own" is an image of yours; name it: `ui: {part: own, image: …}`'),
        (
            f"{{{RAG}, store: redis://h:1}}",
            "chat.store: expected a URL like milvus://milvus.example.com:19530 or postg",
        ),
        (
            f"{{{RAG}, store: 'a:b@c.d'}}",
            "chat.store: no such part for store; choose one of milvus, pgvector, or a URL like milvus://",
        ),
        (
            f"{{{RAG}, store: 'postgresql://a.b/c?password=x'}}",
            "chat.store: a password does not belong here; name a secret in `secrets` of the slots that use the URL",
        ),
        (f"{{{RAG}, llm: {{url: [a]}}}}", "chat.llm.url: expected a URL like https://models.example.com/v1 or http://"),
        (
            f"{{{RAG}, llm: {{url: 'https://a.b/v1', env: {{A: b}}}}}}",
            "chat.llm.env: what is at a URL has no workload; leave out env, or the URL",
        ),
        (
            f"{{{RAG}, rerank: {{part: off, env: {{A: b}}}}}}",
            "chat.rerank.env: `rerank` is off and has no workload; lea",
        ),
        (
            f"{{{RAG}, store: 'milvus://a.b:1', index: 1TiB}}",
            "chat.index: nothing here uses it, as `store` is a URL; leave it out",
        ),
        (f"{{{RAG}, index: weights}}", 'chat.index: "weights" is object storage; this takes block storage, or a size'),
        (
            "{kind: rag, pool: web, corpus: disk, model: a}",
            'chat.corpus: "disk" is block storage; this takes object or',
        ),
        (
            "{kind: train, pool: gpu, image: a, checkpoints: weights, data: weights}",
            'chat.data: storage "weights" is mounted for another key already; name another one, or leave this out',
        ),
    ],
)
def test_a_mistake_in_the_blueprint_itself(tmp_path: Path, keys: str, message: str) -> None:
    (problem,) = problems(tmp_path, keys)
    assert problem.startswith(f"11: blueprints.{message}")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("{kind: serve, pool: gpus, model: a}", 'chat.pool: no pool named "gpus"; did you mean "gpu"?'),
        (f"{{{SERVE}, weights: weigths}}", 'chat.weights: no storage named "weigths"; did you mean "weights"?'),
        (f"{{{SERVE}, weights: 5 apples}}", 'chat.weights: unknown unit "apples" in "5 apples"; write it like 80GB'),
        ("{kind: serve, pool: gpu, model: '$(MESH_PUL)'}", 'chat.model: no variable "MESH_PUL" in the pods of'),
        (f"{{{SERVE}, llm: {{gpus: 1}}}}", 'chat.llm.gpus: unknown key "gpus"; write `resources: {accelerators: 1}`'),
        (f"{{{SERVE}, llm: {{healt: 1}}}}", 'chat.llm.healt: unknown key "healt"; did you mean "health"?'),
        (f"{{{SERVE}, llm: {{image: A/B}}}}", 'chat.llm.image: "A/B" is not an image like vllm/vllm-openai'),
        (f"{{{SERVE}, llm: {{health: {{port: htp}}}}}}", 'chat.llm.health.port: no port named "htp"; did you mean'),
        (f"{{{SERVE}, llm: {{env: [1]}}}}", "chat.llm.env: expected a mapping like {LOG_LEVEL: info}, got a list"),
        (f"{{{SERVE}, llm: {{args: [--seed, 1]}}}}", 'chat.llm.args.1: expected text, got 1; quote it: "1"'),
        (f"{{{SERVE}, llm: {{args: x}}}}", 'chat.llm.args: expected a list like [--model, /models/llama], got "x"'),
        (f"{{{SERVE}, llm: {{command: [a], args: [1]}}}}", "chat.llm.args.0: expected text, got 1"),
        (f"{{{SERVE}, llm: {{mounts: {{wieghts: {{path: /w}}}}}}}}", "chat.llm.mounts.wieghts: no storage named"),
        (
            f"{{{SERVE}, weights: weigths, llm: {{mounts: {{weigths: {{readOnly: true}}}}}}}}",
            'chat.weights: no storage named "weigths"; did you mean "weights"?',
        ),
        (
            f"{{{SERVE}, weights: weights, llm: {{mounts: {{weights: {{readonly: true}}}}}}}}",
            'chat.llm.mounts.weights.readonly: unknown key "readonly"; write `readOnly: true`',
        ),
        (f"{{{SERVE}, endpoint: Chat}}", 'chat.endpoint: "Chat" is not a host name like chat.example.com'),
        (
            f"{{{SERVE}, endpoint: {{host: a.b.de, acess: public}}}}",
            'chat.endpoint.acess: unknown key "acess"; did you mean "access"',
        ),
        (f"{{{NOTEBOOK}, accelerators: all}}", 'chat.accelerators: the nodes of pool "web" have none; give it an '),
        (f"{{{NOTEBOOK}, home: 0GiB}}", 'chat.home: "0GiB" must be more than zero'),
        ("{kind: train, pool: gpu, image: A, checkpoints: 1TiB}", 'chat.image: "A" is not an image like vllm/vllm'),
    ],
)
def test_a_mistake_in_what_it_makes_is_said_at_its_own_line(tmp_path: Path, keys: str, message: str) -> None:
    (problem,) = problems(tmp_path, keys)
    assert problem.startswith(f"11: blueprints.{message}")


@pytest.mark.parametrize(
    ("more", "place", "noun"),
    [
        ("workloads: {chat: {kind: service, pool: web, image: a}}\n", "chat", "workload"),
        ("  second: {kind: serve, pool: gpu, model: b, weights: 1TiB}\nworkloads: {second: {kind: service, pool: web,"
         " image: a}}\n", "second", "workload"),
    ],
)  # fmt: skip
def test_two_things_of_one_name(tmp_path: Path, more: str, place: str, noun: str) -> None:
    (problem,) = problems(tmp_path, f"{{{SERVE}}}", more)
    message = f'makes a {noun} "{place}", and the mesh has one of that name already; rename one of them'
    assert problem.endswith(f"blueprints.{place}: {message}")


def test_a_blueprint_with_a_mistake_is_not_missed_by_others(tmp_path: Path) -> None:
    more = "endpoints: {chat: {host: chat.example.com, workload: chat, port: http}}\n"
    (problem,) = problems(tmp_path, "{kind: serve, pool: gpu}", more)
    assert problem == '11: blueprints.chat: missing key "model"'


def test_sections_of_another_shape_are_reported_and_not_replaced(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, f"{{{SERVE}}}", "workloads: []\n")
    assert problem == "12: workloads: expected a mapping, got a list"


def test_the_name_of_a_blueprint_is_that_of_a_workload(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH.replace("  chat:\n", f"  Chat_1: {{{SERVE}}}\n"))
    with pytest.raises(DiagnosticsError) as caught:
        load_mesh(tmp_path / "mesh.yaml")
    (problem,) = caught.value.diagnostics
    assert (problem.line, problem.path) == (11, "blueprints.Chat_1")
    assert problem.message.startswith('"Chat_1" is not a DNS label')


@pytest.mark.parametrize(
    "keys",
    [
        f"{{kind: notebook, pool: web, token: '{SECRET}'}}",
        f"{{kind: notebook, pool: web, token: ['{SECRET}']}}",
        f"{{{SERVE}, llm: {{secrets: {{HF_TOKEN: '{SECRET}'}}}}}}",
        f"{{{SERVE}, llm: {{secrets: {{'{SECRET}': hf-token}}}}}}",
        f"{{{SERVE}, llm: {{secrets: '{SECRET}'}}}}",
        f"{{{SERVE}, llm: {{secrets: {{HF_TOKEN: !secret '{SECRET}'}}}}}}",
        f"{{{SERVE}, llm: {{secrets: {{'{SECRET}': a, '{SECRET}': b}}}}}}",
        f"{{{SERVE}, llm: {{imagePullSecrets: ['{SECRET}']}}}}",
        f"{{{RAG}, store: 'postgresql://user:{SECRET}@db.example.com/docs'}}",
        f"{{{RAG}, llm: {{url: 'ftp://user:{SECRET}@a.b'}}}}",
        f"{{{RAG}, store: 'user:{SECRET}@db.example.com'}}",
        f"{{{RAG}, store: {{part: 'user:{SECRET}@db.example.com'}}}}",
        f"{{{RAG}, store: {{part: ['user:{SECRET}@db.example.com']}}}}",
        f"{{{RAG}, store: 'postgresql://db.example.com/docs?user=a&password={SECRET}'}}",
        f"{{{RAG}, store: {{url: 'postgresql://db.example.com/docs?sslmode=require&sslpassword={SECRET}'}}}}",
        f"{{{RAG}, llm: 'https://models.example.com/v1?api-key={SECRET}'}}",
        f"{{{RAG}, llm: 'https://models.example.com/v1?%61pi_key={SECRET}'}}",
    ],
)
def test_a_secret_in_place_of_its_name_is_not_repeated(tmp_path: Path, keys: str) -> None:
    found = problems(tmp_path, keys)
    assert found
    assert SECRET not in "\n".join(found)


def test_a_file_that_is_missing_is_said_at_the_slot(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(
        MESH.replace("chat:\n", f"chat: {{{SERVE}, llm: {{files: {{/etc/a.yaml: none.yaml}}}}}}\n")
    )
    environments = "apiVersion: meshctl/v1\nkind: Environments\nenvironments: {dc: {provider: kubernetes}}\n"
    (tmp_path / "environments.yaml").write_text(environments)
    mesh, _ = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    (mistake,) = mesh.mistakes
    assert (mistake.line, mistake.path) == (11, "blueprints.chat.llm.files./etc/a.yaml")


def test_environments_override_what_a_blueprint_makes(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH.replace("chat:\n", f"chat: {{{SERVE}}}\n"))
    environments = "apiVersion: meshctl/v1\nkind: Environments\nenvironments: {dc: {provider: kubernetes, workloads: "
    (tmp_path / "environments.yaml").write_text(environments + "{chat: {env: {A: b}}}}}\n")
    _, read = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    assert set(read.environments["dc"].workloads) == {"chat"}
