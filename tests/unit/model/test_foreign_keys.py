"""Keys and values of other tools are answered by what to write in mesh.yaml, and never by a misleading guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from meshctl.errors import DiagnosticsError
from meshctl.load import load, load_mesh
from meshctl.model.environment import WorkloadOverrides
from meshctl.model.files import foreign_keys
from meshctl.model.mesh import Mesh

HEAD = "apiVersion: meshctl/v1\nkind: Mesh\nname: m\n"
POOL = "pools: {gpu: {nodes: 1, accelerator: {model: H100, count: 8}}}\n"


def messages(folder: Path, text: str) -> list[str]:
    file = folder / "mesh.yaml"
    file.write_text(HEAD + text)
    with pytest.raises(DiagnosticsError) as caught:
        load_mesh(file)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.diagnostics]


def workload(keys: str) -> str:
    return f"{POOL}workloads: {{w: {{kind: inference, pool: gpu, image: 'a:1', {keys}}}}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (workload("gpu: 8"), 'workloads.w.gpu: unknown key "gpu"; write `resources: {accelerators: 1}`'),
        (
            workload("resources: {gpu: 1}"),
            'workloads.w.resources.gpu: unknown key "gpu"; write `accelerators: 1`',
        ),
        (
            workload("resources: {nvidia.com/mig-1g.5gb: 1}"),
            'workloads.w.resources.nvidia.com/mig-1g.5gb: unknown key "nvidia.com/mig-1g.5gb"; write `accelerators: 1`'
            " here, and `share: mig-1g.5gb` in the `accelerator` of the pool",
        ),
        (
            "pools: {gpu: {nodes: 1, accelerator: {model: H100, count: 7, profile: 1g.10gb}}}\n",
            'pools.gpu.accelerator.profile: unknown key "profile"; write `share: mig-3g.40gb`',
        ),
        (workload("sidecars: []"), 'workloads.w.sidecars: unknown key "sidecars"; run the second program as'),
        (workload("securityContext: {}"), 'workloads.w.securityContext: unknown key "securityContext"; write `user: r'),
        (
            workload("configMaps: {}"),
            'workloads.w.configMaps: unknown key "configMaps"; write `files: {/etc/app.yaml: ',
        ),
        (workload("files: [a]"), "workloads.w.files: expected a mapping like {/etc/app.yaml: app.yaml}, got a list"),
        (workload("livenessProbe: {}"), 'workloads.w.livenessProbe: unknown key "livenessProbe"; write `health: {port'),
        (workload("ports: [8000]"), "workloads.w.ports: expected a mapping like {http: 8000}, got a list"),
        (workload("env: [{name: A}]"), "workloads.w.env: expected a mapping like {LOG_LEVEL: info}, got a list"),
        (
            workload("replicas: {min: 1}"),
            'workloads.w.replicas: missing key "max"; write a number, or `{min: 1, max: 4}`',
        ),
        (
            "pools: {gpu: {nodes: 1, accelerator: 'H100:8'}}\n",
            'pools.gpu.accelerator: expected a mapping like {model: H100, count: 8}, got "H100:8"',
        ),
        (f"{POOL}secrets: {{}}\n", 'secrets: unknown key "secrets"; say in environments.yaml where secrets come from'),
        (
            f"{POOL}storage: {{a: {{kind: PVC, size: 1TiB}}}}\n",
            'storage.a.kind: expected one of object, filesystem, block, local; got "PVC"; instead of PVC: filesystem',
        ),
        (
            workload("before: {image: 'a:1'}"),
            "workloads.w.before: expected a list like [{image: acme/prepare:1, command: ",
        ),
        (
            workload("before: [{name: a, image: 'a:1'}]"),
            'workloads.w.before.0.name: unknown key "name"; a step has no ',
        ),
        (workload("before: [{command: [a]}]"), 'workloads.w.before.0: missing key "image"; write {image: acme/prepare'),
        (
            workload("metrics: true"),
            "workloads.w.metrics: expected a mapping like {port: http, path: /metrics}, got tr",
        ),
        (
            workload("ports: {http: 80}, metrics: {port: http, path: metrics}"),
            'workloads.w.metrics.path: "metrics" does not begin with "/"; write it like /metrics',
        ),
        (
            "fabrics: {f: {rdma: true}}\n",
            'fabrics.f.rdma: unknown key "rdma"; write `kind: rdma`, which becomes EFA, InfiniBand or RoCE',
        ),
        ("fabrics: {f: {}}\n", 'fabrics.f: missing key "kind"; write `kind: rdma`'),
        ("endpoints: {e: a/http}\n", "endpoints.e: expected a mapping like {host: chat.example.com, workload: chat, "),
        (
            f"{POOL}endpoints: {{e: {{host: a.example.com, protocol: https}}}}\n",
            'endpoints.e.protocol: unknown key "protocol"; write `tls: true` for a certificate of the platform, or',
        ),
        (
            workload("mounts: {b: {mountPath: /x}}"),
            'workloads.w.mounts.b.mountPath: unknown key "mountPath"; write `pa',
        ),
    ],
)
def test_what_other_tools_have_is_answered_by_what_to_write(tmp_path: Path, text: str, expected: str) -> None:
    assert any(message.startswith(expected) for message in messages(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (
            workload("nodes: {min: 1, max: 2}"),
            "each group of what serves, has a fixed number of pods; `elastic: {min: N}`",
        ),
        (workload("ports: {http: {containerPort: 80}}"), "write the number alone: {http: 8000}"),
        (
            workload("resources: {accelerators: {type: H100}}"),
            "the `accelerator` of the pool says which model they are",
        ),
        (
            "pools: {gpu: {nodes: 1, accelerator: {model: H100, count: {min: 1}}}}\n",
            "it is the number per node; for alternatives write a list",
        ),
    ],
)
def test_a_mapping_where_a_number_is_expected_says_what_it_would_mean(tmp_path: Path, text: str, meaning: str) -> None:
    (message,) = [each for each in messages(tmp_path, text) if "got a mapping" in each]
    assert "expected a whole number, got a mapping; " in message
    assert meaning in message


ENVIRONMENT = """apiVersion: meshctl/v1
kind: Environments
environments: {here: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b], %s}}
dns: {provider: route53, zone: example.com}
"""


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("fabric: {kind: efa}", 'fabric.kind: unknown key "kind"; not needed here: the machines that are chosen'),
        ("images: mirror.example.com", "images: expected a mapping like {docker.io: mirror.example.com/hub}, got "),
        ("storage: {w: acme}", 'storage.w: expected a mapping like {bucket: acme-weights}, got "acme"'),
        ("storage: {w: {pvc: a}}", 'storage.w.pvc: unknown key "pvc"; write `claim: NAME`'),
        (
            "workloads: {w: {image: 'a:1'}}",
            'workloads.w.image: unknown key "image"; it is the same everywhere: write it',
        ),
        (
            "workloads: {'*': {nodeSelector: {a: b}}}",
            'workloads.*.nodeSelector: unknown key "nodeSelector"; write it in `pod`, as Kubernetes has it: ',
        ),
        ("workloads: {w: {pod: [x]}}", "workloads.w.pod: expected a mapping like {hostNetwork: true}, got a list"),
        ("workloads: {w: {env: [x]}}", "workloads.w.env: expected a mapping like {KEY: value}, got a list"),
        ("zone: us-east-1a", 'zone: unknown key "zone"; write `zones`, a list'),
    ],
)
def test_keys_and_forms_of_environments_are_answered_too(tmp_path: Path, keys: str, expected: str) -> None:
    files = tmp_path / "mesh.yaml", tmp_path / "environments.yaml"
    files[0].write_text(f"{HEAD}{workload('replicas: 1')}")
    files[1].write_text(ENVIRONMENT % keys)
    with pytest.raises(DiagnosticsError) as caught:
        load(*files)
    said = [f"{problem.path}: {problem.message}" for problem in caught.value.diagnostics]
    assert any(message.startswith(f"environments.here.{expected}") for message in said), said


WHICH = "which accelerator? write {model: H100, count: 8}, or {memory: 80GB, count: 8} for any with that memory"


@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [
        ("{count: 8}", [f"accelerator.model: {WHICH}"]),
        ("[{model: L4, count: 8}, {count: 8}]", [f"accelerator.1.model: {WHICH}"]),
        ("{}", [f"accelerator.model: {WHICH}", 'accelerator: missing key "count"']),
        ("{count: 8, memory: 80}", ["accelerator.memory: 80 has no unit"]),
        ("[]", ["accelerator: an empty list names no accelerator; for nodes without accelerators leave this key out"]),
        ("['H100:8']", ['accelerator.0: expected a mapping like {model: H100, count: 8}, got "H100:8"']),
        ("[[{model: L4, count: 8}]]", ["accelerator.0: expected a mapping like {model: H100, count: 8}, got a list"]),
        ("8", ["accelerator: expected a mapping like {model: H100, count: 8}, got 8"]),
        ("{name: H100, memory: 80GB, count: 8}", ['accelerator.name: unknown key "name"; write `model: H100`']),
        ("[{name: H100, memory: 80GB, count: 8}]", ['accelerator.0.name: unknown key "name"; write `model: H100`']),
        ("{modle: H100, memory: 80GB, count: 8}", ['accelerator.modle: unknown key "modle"; did you mean "model"?']),
        ("{model: H100, count: 0}", ["accelerator.count: must be at least 1, got 0"]),
        ("{model: [], count: 1}", ["accelerator.model: must not be empty"]),
        ("[{model: [H100, 80GB], count: 1}]", ['accelerator.0.model.1: "80GB" names no model; write it like H100']),
    ],
)
def test_one_diagnostic_for_each_wrong_accelerator(tmp_path: Path, accelerator: str, expected: list[str]) -> None:
    said = messages(tmp_path, f"pools: {{gpu: {{nodes: 1, accelerator: {accelerator}}}}}\n")
    assert len(said) == len(expected)
    assert all(any(each.startswith(f"pools.gpu.{start}") for each in said) for start in expected), said


def test_a_mistyped_key_is_still_guessed(tmp_path: Path) -> None:
    assert messages(tmp_path, workload("imagePullSecret: [a]")) == [
        'workloads.w.imagePullSecret: unknown key "imagePullSecret"; did you mean "imagePullSecrets"?'
    ]


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("annotations", "annotations: {KEY: TEXT}"),
        ("podAnnotations", "annotations: {KEY: TEXT}"),
        ("labels", "labels: {KEY: VALUE}"),
        ("hostNetwork", "pod: {hostNetwork: true}"),
        ("sidecars", "pod: {containers: [{name: proxy, image: 'acme/proxy:1'}]}"),
        ("containers", "pod: {containers: [{name: proxy, image: 'acme/proxy:1'}]}"),
        ("affinity", "pod: {affinity: {…}}"),
        ("nodeSelector", "pod: {nodeSelector: {KEY: VALUE}}"),
        ("tolerations", "pod: {tolerations: [{key: KEY, operator: Exists}]}"),
        ("runtimeClassName", "pod: {runtimeClassName: CLASS}"),
    ],
)
def test_what_only_one_environment_has_is_written_there(tmp_path: Path, key: str, place: str) -> None:
    (message,) = messages(tmp_path, workload(f"{key}: {{}}"))
    assert message.startswith(f'workloads.w.{key}: unknown key "{key}"; ')
    assert message.endswith(f"in environments.yaml under the environment's name: `workloads: {{NAME: {{{place}}}}}`")
    assert "not in this version" not in message
    line = message.split("`")[-2]
    entry = yaml.safe_load(line)["workloads"]["NAME"]
    assert WorkloadOverrides.model_validate(entry) if "…" not in line else entry


def keys_at(section: foreign_keys.Path) -> set[str]:
    model: Any = Mesh
    for part in section:
        if part == "*":
            continue
        field = next(field for name, field in model.model_fields.items() if part in (name, field.alias))
        model = model_in(field.annotation)
    return {field.alias or name for name, field in model.model_fields.items()}


def model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for inner in map(model_in, reversed(get_args(annotation))) if inner is not None), None)


def test_no_key_of_the_model_is_called_foreign() -> None:
    assert [(section, key) for section, key in foreign_keys.all_keys() if key in keys_at(section)] == []
