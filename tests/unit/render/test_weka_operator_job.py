"""What is declared to bring the operator of WEKA: its Job, the values of its chart, and the credentials for images."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.secrets import secret_revisions
from meshctl.model.deployment import ReservedCapacity
from meshctl.model.pods import own_images
from meshctl.render import PlatformObject
from tests.unit.render.test_neural_mesh import container_of, objects, spec
from tests.unit.states import NOTHING
from tests.unit.weka_mesh import neural_mesh, with_mesh


@pytest.mark.parametrize("later", [("train",), ("train", "serve")], ids=["other nodes", "no node"])
def test_the_operator_is_waited_for_where_its_job_has_a_node(later: tuple[str, ...]) -> None:
    """Also before the nodes that carry drives start: the API server knows no WekaCluster without it."""
    now = with_mesh()
    block = ReservedCapacity(starts="2027-01-01T00:00:00Z")
    pools = [pool.model_copy(update={"reserved": block}) if pool.name in later else pool for pool in now.pools]
    made = objects(now.model_copy(update={"pools": tuple(pools)}))
    assert {each.name for each in now.pools} >= {"serve", "train"}
    assert made["neuralmesh:operator"].wait is (later == ("train",))
    assert not made["neuralmesh:cluster"].wait


def test_pods_of_weka_pull_with_a_secret_of_the_environment() -> None:
    made = objects()
    assert made["platform:registry-quay-io-robot-secret"].manifest["type"] == "kubernetes.io/dockerconfigjson"
    volumes = spec(made["neuralmesh:operator"])["template"]["spec"]["volumes"]
    assert {"secretName": "registry-quay-io-robot-secret"}.items() <= volumes[-1]["secret"].items()
    without = objects(with_mesh(neural_mesh(image_pull_secret="")))
    assert "platform:registry-quay-io-robot-secret" not in without
    assert "imagePullSecret" not in spec(without["neuralmesh:cluster"])
    assert len(spec(without["neuralmesh:operator"])["template"]["spec"]["volumes"]) == len(volumes) - 1


def test_the_operator_gets_a_pull_secret_that_has_changed() -> None:
    """The Job that copies it runs again."""
    late, secret = "revision.registry-quay-io-robot-secret", "platform:registry-quay-io-robot-secret"
    made = objects()
    assert set(render.late_names([made["neuralmesh:operator"]])) == {late}
    assert set(render.late_names([made[secret]])) == {late, "secret.quay-io-robot-secret"}
    values = secret_revisions.revision_values(with_mesh(), defaultdict(str), NOTHING)
    assert values[late] == "1"
    others = objects(with_mesh(neural_mesh(installs_operator=False)))
    assert set(render.late_names([others[secret]])) == {"secret.quay-io-robot-secret"}


def test_the_operator_is_installed_by_a_job_with_an_account_of_its_own() -> None:
    made = objects()
    job = made["neuralmesh:operator"]
    assert job.manifest["metadata"]["namespace"] == "llm-prod"
    container = container_of(job)
    assert container["image"] == own_images.HELM
    assert {each["name"]: each["value"] for each in container["env"]} == {
        "OPERATOR_CHART": "oci://quay.io/weka.io/helm/weka-operator",
        "OPERATOR_VERSION": "v1.11.0",
        "OPERATOR_NAMESPACE": "weka-operator-system",
        "OPERATOR_MARK": "meshctl-weka-operator",
        "MESH": "llm-prod",
        "PULL_SECRET": "registry-quay-io-robot-secret",
    }
    rules = made["neuralmesh:operator-cluster-role"].manifest["rules"]
    assert not any("*" in value for rule in rules for values in rule.values() for value in values)


def values_of(made: dict[str, PlatformObject]) -> dict[str, Any]:
    return dict(json.loads(made["neuralmesh:operator-files"].manifest["data"]["values.json"]))


def test_values_of_the_chart_name_images_only_where_a_mirror_has_them() -> None:
    assert values_of(objects()) == {
        "csi": {"installationEnabled": True, "storageClassCreationDisabled": True},
        "imagePullSecret": "registry-quay-io-robot-secret",
    }
    mirrors = {"quay.io": "mirror.example.com/quay", "registry.k8s.io": "mirror.example.com/k8s"}
    mirrors["docker.io"] = "mirror.example.com/hub"
    made = objects(with_mesh().model_copy(update={"images": mirrors}))
    values = values_of(made)
    assert values["image"] == {"repository": "mirror.example.com/quay/weka.io/weka-operator"}
    assert values["taskmon"]["defaultImage"].startswith("mirror.example.com/quay/weka.io/taskmon:")
    assert values["csi"]["provisionerImage"] == "mirror.example.com/k8s/sig-storage/csi-provisioner:v5.3.0"
    assert values["metrics"]["clusters"]["image"] == "mirror.example.com/hub/library/nginx:1.27.3"
    assert len(list(texts(values, "mirror.example.com"))) == 13  # twelve, and the operator's own
    assert container_of(made["neuralmesh:operator"])["image"] == "mirror.example.com/hub/alpine/k8s:1.33.3"
    image = spec(made["neuralmesh:cluster"])["image"]
    assert image == "mirror.example.com/quay/weka.io/weka-in-container:4.4.21.2"


def texts(value: Any, beginning: str) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner, beginning)
    elif isinstance(value, str) and value.startswith(beginning):
        yield value


def test_images_of_neuralmesh_are_named_for_a_mirror() -> None:
    listed = own_images.of(with_mesh())
    assert {own_images.HELM, "quay.io/weka.io/weka-operator:v1.11.0", *own_images.OF_WEKA_OPERATOR.values()} <= {
        *listed
    }
    assert "quay.io/weka.io/weka-in-container:4.4.21.2" in listed
    with_operator = own_images.of(with_mesh(neural_mesh(installs_operator=False, licence_secret="weka-licence")))
    assert own_images.HELM not in with_operator
    assert own_images.SCALER in with_operator  # the settings are a Python program


def test_an_operator_of_somebody_else_is_not_touched() -> None:
    made = objects(with_mesh(neural_mesh(installs_operator=False)))
    assert not any(name.startswith("neuralmesh:operator") for name in made)
    assert made["neuralmesh:sign-drives"].depends_on == (
        "platform:namespace",
        "platform:registry-quay-io-robot-secret",
    )
