"""The `blueprints` of mesh.yaml: what each kind may say. PURE.

Read by `meshctl.model.mesh`. What a blueprint becomes, workloads, storage and an endpoint, is made by
`meshctl.blueprints` before the mesh is validated: nothing after it knows a blueprint but for its name.

A slot is one workload of a blueprint. The user names its part (what fills it), or writes keys of a workload, which win
over those of the part.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from meshctl.model.files.key_values import Count, DnsLabel, Image, NumberOrAll, Text
from meshctl.model.files.sections import Replicas, Section

PART: Final = "part"  # the key of a slot that names its part


def _slot(value: object) -> object:
    if isinstance(value, str | dict) and value:
        return value
    raise ValueError("expected the name of a part, or a mapping of a workload's keys like {args: [--seed, '1']}")


# Not `dict | str`: pydantic would name the members of the union in the path of each problem.
Slot = Annotated[
    Any,
    BeforeValidator(_slot),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "minProperties": 1}]}),
]


def _endpoint(value: object) -> object:
    if isinstance(value, str | dict) and value:
        return value
    raise ValueError(
        "expected a host name like chat.example.com, or keys of an endpoint like {host: …, access: public}"
    )


EndpointKeys = Annotated[
    Any,
    BeforeValidator(_endpoint),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "minProperties": 1}]}),
]


class Serve(Section):
    """One model behind an API in the style of OpenAI. `weights`: a storage of the mesh that has the model in the folder
    `model`, or the size of an object store to be made for it; without it `model` is a name of a hub."""

    kind: Literal["serve"]
    pool: Text
    model: Text
    weights: Text | None = None
    accelerators: NumberOrAll | None = None
    replicas: Replicas | None = None
    endpoint: EndpointKeys = None
    llm: Slot = None


class Train(Section):
    """A training run on several nodes. `checkpoints`: a storage of the mesh, or the size of an object store to be made.
    `script`: what torchrun starts on each node; without it the image's own program runs."""

    kind: Literal["train"]
    pool: Text
    image: Image
    script: Text | None = None
    nodes: Count | None = None
    accelerators: NumberOrAll | None = None
    checkpoints: Text
    data: Text | None = None
    trainer: Slot = None


class Notebook(Section):
    """JupyterLab for one person or team. `token`: the secret that they log in with. `home`: a storage of the mesh, or
    the size of a volume to be made."""

    kind: Literal["notebook"]
    pool: Text
    token: DnsLabel
    accelerators: NumberOrAll | None = None
    home: Text | None = None
    data: Text | None = None
    endpoint: EndpointKeys = None
    notebook: Slot = None


class Rag(Section):
    """Answers from documents, with citations. `corpus`: the storage that has them, or the size of an object store to be
    made. `index`: a volume of the mesh for the vector store, or the size of one to be made, which does not last.
    `model`: required unless `llm` is off, which the blueprint checks."""

    kind: Literal["rag"]
    pool: Text
    corpus: Text
    model: Text | None = None
    weights: Text | None = None
    accelerators: NumberOrAll | None = None
    embed_model: Text | None = None
    index: Text | None = None
    endpoint: EndpointKeys = None
    llm: Slot = None
    embed: Slot = None
    rerank: Slot = None
    store: Slot = None
    ingest: Slot = None
    api: Slot = None
    ui: Slot = None


Blueprint = Annotated[Serve | Train | Notebook | Rag, Field(discriminator="kind")]
KINDS: Final[tuple[type[Section], ...]] = (Serve, Train, Notebook, Rag)
SLOTS: Final = {"serve": "llm", "train": "trainer", "notebook": "notebook", "rag": "api"}  # by kind; of several, the
# one whose workload has the blueprint's name
