"""What is declared of a WEKA organization: its users' Secrets, the Job that makes it, and who makes volumes in it."""

from __future__ import annotations

import json

import pytest

from meshctl import render
from meshctl.model.deployment import JoinedWeka
from meshctl.model.neural_mesh import WekaOrganization
from meshctl.render.objects import uid_name
from tests.unit.render.test_neural_mesh import ancestors, container_of, objects, spec
from tests.unit.weka_mesh import joined, neural_mesh, system, with_mesh

ORGANIZATION = WekaOrganization(
    name="research", admin_secret="weka-admin", driver_secret="weka-driver", quota_gib=400, drive_quota_gib=80
)


def test_volumes_of_an_organization_are_made_by_its_own_user() -> None:
    systems = (system(), system("cold", tier="weights"))
    made = objects(with_mesh(neural_mesh(organization=ORGANIZATION), *systems))
    parameters = made["storage/data:class"].manifest["parameters"]
    secrets = {value for key, value in parameters.items() if key.endswith("-secret-name")}
    assert secrets == {"weka-organization-csi"}
    volume = made["storage/cold:volume"].manifest
    secret = {"name": "weka-organization-csi", "namespace": "llm-prod"}
    assert spec(made["storage/cold:volume"])["csi"]["nodePublishSecretRef"] == secret
    deletion = "volume.kubernetes.io/provisioner-deletion-secret-name"
    assert volume["metadata"]["annotations"][deletion] == "weka-organization-csi"
    # the addresses are still missing then, and the driver asks again until the Job has added them
    before_claim = ancestors(made, "storage/data:claim")
    assert "neuralmesh:organization-csi" in before_claim
    assert "neuralmesh:settings" not in before_claim


def test_the_drivers_secret_names_its_user_and_holds_no_address() -> None:
    deployed = with_mesh(neural_mesh(organization=ORGANIZATION))
    made = objects(deployed)
    driver = made["neuralmesh:organization-csi"].manifest["stringData"]
    texts = {key: value for key, value in driver.items() if key != "password"}
    assert texts == {"username": "meshctl-csi", "organization": "research", "autoUpdateEndpoints": "true"}
    assert set(render.late_names([made["neuralmesh:organization-csi"]])) == {
        "secret.weka-driver",
        "revision.weka-organization-csi",
    }
    assert set(render.late_names([made["neuralmesh:organization-admin"]])) == {
        "secret.weka-admin",
        "revision.weka-organization-admin",
    }
    assert render.secrets(deployed)["weka-organization-csi"] == {"password": "secret.weka-driver"}


def test_the_settings_of_an_organization_may_change_one_secret() -> None:
    made = objects(with_mesh(neural_mesh(organization=ORGANIZATION)))
    pod = spec(made["neuralmesh:settings"])["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("llm-prod-weka-settings", True)
    container = container_of(made["neuralmesh:settings"])
    assert container["command"][-1] == "/weka_settings/organization.py"
    assert made["neuralmesh:settings-files"].manifest["data"].keys() == {"settings.py", "organization.py"}
    assert made["neuralmesh:settings-role"].manifest["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["weka-organization-csi"], "verbs": ["patch"]}
    ]
    declared = json.loads(next(each["value"] for each in container["env"] if each["name"] == "ORGANIZATION"))
    assert declared == {
        "name": "research",
        "admin": "meshctl-admin",
        "driver": "meshctl-csi",
        "total_quota": 400 * 1024**3,
        "ssd_quota": 80 * 1024**3,
        "namespace": "llm-prod",
        "secret": "weka-organization-csi",
    }
    before = ancestors(made, "neuralmesh:settings")
    assert {"neuralmesh:cluster", "neuralmesh:settings-binding", "neuralmesh:organization-admin"} <= before
    # its uid is another one once somebody has deleted it: made anew, it lacks the addresses until the Job adds them
    late = {
        "revision.weka-organization-admin",
        "revision.weka-organization-csi",
        uid_name("neuralmesh:organization-csi"),
    }
    assert set(render.late_names([made["neuralmesh:settings"]])) == late


def test_without_an_organization_the_job_has_no_account() -> None:
    made = objects(with_mesh(neural_mesh(licence_secret="weka-licence")))
    pod = spec(made["neuralmesh:settings"])["template"]["spec"]
    assert "serviceAccountName" not in pod
    assert pod["automountServiceAccountToken"] is False
    assert container_of(made["neuralmesh:settings"])["command"][-1] == "/weka_settings/settings.py"
    assert made["neuralmesh:settings-files"].manifest["data"].keys() == {"settings.py"}
    assert not objects(with_mesh(joined(organization=ORGANIZATION))).keys() & {"neuralmesh:organization-csi"}


@pytest.mark.parametrize("driver", ["", "csi.weka.io"])
def test_a_user_of_an_organization_of_a_joined_cluster_is_named_by_its_secret(driver: str) -> None:
    """It was read and not used: volumes were made in Root, by the operator's own user."""
    place = JoinedWeka(cluster="shared", namespace="storage", secret="research-api", csi_driver=driver)
    parameters = objects(with_mesh(joined(joined=place)))["storage/data:class"].manifest["parameters"]
    assert {value for key, value in parameters.items() if key.endswith("-secret-name")} == {"research-api"}
    assert {value for key, value in parameters.items() if key.endswith("-secret-namespace")} == {"llm-prod"}
