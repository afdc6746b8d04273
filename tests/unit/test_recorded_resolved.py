"""What was recorded is made in the same way now: the files of the recording give the same deployment and manifests.

A deployment that comes out otherwise has another digest: saved plans are stale then, and older versions of meshctl may
not be able to read it. Another manifest would roll what is up. `tests/recorded/record.py` holds the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.model.deployment import Deployment
from meshctl.render import LateValue, node_objects, platform_objects
from meshctl.resolve import resolve
from tests.recorded.record import ENVIRONMENTS, MESH
from tests.unit.test_recorded import every_environment, every_version, state_of
from tests.unit.test_recorded import load as recording

# What does not come from the files: the prices of the catalog, and what the command line learns from the AWS profiles
# of the lab and from the nodes of a cluster that is given.
LEARNED = {
    "pools": ("price", "cpu_cores", "memory_gib", "disk_gib", "node_names"),
    "object_stores": ("price", "endpoint", "addressing"),
    "blocks": ("price",),
}
# What `up` decides by whether something is up already, and says in the deployment since 0.2.0.
DECIDED_BY_UP = {"endpoints": ("access", "own_nodes_only"), "workloads": ("drain_s",)}
# What is decided otherwise than by versions before 0.2.0, which started a second pod of `chat` in a roll-out
# although the node has no room for it, and gave up after 40 minutes whatever was copied before its start. The next `up`
# changes the Deployment's strategy and its deadline, which replaces no pod.
DECIDED_LATER = {"chat": {"roll_out": "old-first", "staging_s": 4399}}

# Objects that came to be later, beside which all others stay as they are.
ADDED_LATER = {"platform:dcgm-exporter"}


def resolved(folder: Path, mesh: str, environment: str) -> Deployment:
    (folder / "mesh.yaml").write_text(mesh)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    files = load(folder / "mesh.yaml", folder / "environments.yaml")
    deployment = resolve(*files, environment, load_catalog()).deployment
    assert deployment is not None
    return deployment


def recorded(version: str, environment: str) -> dict[str, Any]:
    document: dict[str, Any] = state_of(version, environment).outputs.values["deployment"]
    return document


@every_version
@every_environment
def test_the_same_files_give_the_deployment_that_was_recorded(tmp_path: Path, version: str, environment: str) -> None:
    before = recorded(version, environment)
    assert with_learned(resolved(tmp_path, MESH, environment), before) == before


def with_learned(now: Deployment, before: dict[str, Any]) -> dict[str, Any]:
    """The document of a deployment, with those values of a recorded one that do not come from the files."""
    document = now.model_dump(mode="json")
    for key, learned in LEARNED.items():
        for item, recorded_item in zip(document[key], before[key], strict=True):
            item.update({name: recorded_item[name] for name in learned})
    for key, decided in DECIDED_BY_UP.items():
        for item, recorded_item in zip(document[key], before[key], strict=True):
            item.update({name: recorded_item[name] for name in decided if name in recorded_item})
    if "maker" in before["cluster"]:  # since 0.2.0: whoever ran the first `up` on AWS
        document["cluster"]["maker"] = before["cluster"]["maker"]
    for workload, recorded_workload in zip(document["workloads"], before["workloads"], strict=True):
        for name, value in DECIDED_LATER.get(workload["name"], {}).items():
            assert workload[name] == value
            if name not in recorded_workload:
                del workload[name]
    return document


@every_version
def test_the_same_files_give_the_digest_that_was_recorded(tmp_path: Path, version: str) -> None:
    plan = recording(version, "plan")
    mesh = MESH.replace("/models/llama", "/models/other")
    now = with_learned(resolved(tmp_path, mesh, plan["environment"]), recorded(version, plan["environment"]))
    assert Deployment.model_validate(now).digest == plan["digest"]


@every_version
@every_environment
def test_the_same_deployment_gives_the_manifests_that_were_recorded(version: str, environment: str) -> None:
    state = state_of(version, environment)
    assert state.deployment is not None
    now = {item.name: item for item in (*platform_objects(state.deployment), *node_objects(state.deployment))}
    before = {each.name: each for each in state.resources if each.is_kubernetes}
    added = now.keys() - before.keys()
    assert added <= ADDED_LATER
    assert before.keys() <= now.keys()
    for name, item in now.items():
        if name in added:
            continue
        expected = without_engine(dict(before[name].inputs))
        assert with_deferred_values(without_engine(item.manifest), expected) == expected, name


def without_secrets(manifest: dict[str, Any]) -> dict[str, Any]:
    """The recording has the values of Secrets encrypted."""
    secret = ("data", "stringData") if manifest["kind"] == "Secret" else ()
    return {key: value for key, value in manifest.items() if key not in secret}


def without_engine(manifest: dict[str, Any]) -> dict[str, Any]:
    """Without the annotations that tell the engine how long to wait, and without the values of Secrets."""
    metadata = dict(manifest["metadata"])
    annotations = metadata.pop("annotations", {})
    own = {key: value for key, value in annotations.items() if not key.startswith("pulumi.com/")}
    return without_secrets({**manifest, "metadata": {**metadata, **({"annotations": own} if own else {})}})


def with_deferred_values(now: Any, before: Any) -> Any:
    """`now` with the recorded value wherever a value is only known while deploying."""
    if isinstance(now, LateValue):
        return before
    if isinstance(now, dict) and isinstance(before, dict):
        return {key: with_deferred_values(value, before.get(key)) for key, value in now.items()}
    if isinstance(now, list | tuple) and isinstance(before, list):
        return [with_deferred_values(item, before[at] if at < len(before) else None) for at, item in enumerate(now)]
    return now
