"""The lab's Kueue: which of its webhooks are declared, where, and when it is started."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from meshctl import tools
from meshctl.cli.main import app
from meshctl.errors import LabError
from meshctl.lab import up
from meshctl.lab.state import Lab, write_atomically
from meshctl.lab.webhooks import kueue_certificates, kueue_controller, real_controllers

NAMES = ("mpod.kb.io", "mjob.kb.io", "mclusterqueue.kb.io", "mrayjob.kb.io", "mjobset.kb.io")


@pytest.fixture
def webhooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of its module, with hooks of kinds that the lab's clusters serve and of others."""
    hooks = [{"name": name, "clientConfig": {"service": {"path": f"/{name}"}}} for name in NAMES]
    document = {"kind": "MutatingWebhookConfiguration", "metadata": {"name": "mutating"}, "webhooks": hooks}
    (tmp_path / "manifests.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setattr(tools, "file_beside", lambda _, name: tmp_path / name)


@pytest.mark.usefixtures("webhooks")
def test_webhooks_of_kinds_that_no_cluster_serves_are_left_out() -> None:
    (configuration,) = real_controllers.at_loopback(kueue_controller.CONTROLLER, 4321, b"authority")
    assert configuration["metadata"]["name"] == "kueue-mutating"
    hooks = {hook["name"]: hook for hook in configuration["webhooks"]}
    assert set(hooks) == {"mpod.kb.io", "mjob.kb.io", "mclusterqueue.kb.io"}
    assert hooks["mjob.kb.io"]["clientConfig"]["url"] == "https://127.0.0.1:4321/mjob.kb.io"
    # pods of the cluster itself start without it
    (rule,) = hooks["mpod.kb.io"]["namespaceSelector"]["matchExpressions"]
    assert (rule["operator"], rule["values"]) == ("NotIn", ["kube-system", "kueue-system"])
    assert "namespaceSelector" not in hooks["mclusterqueue.kb.io"]


def test_all_of_its_kinds_are_declared() -> None:
    definitions = kueue_controller.CONTROLLER.definitions
    for kind in ("clusterqueues", "localqueues", "resourceflavors", "workloads"):
        assert f"kueue.x-k8s.io_{kind}.yaml" in definitions
    assert "manifests.yaml" not in definitions


def test_a_lab_that_is_up_gets_none_later(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    entry = {"provider": "onprem", "kubeconfig": "k", "group_controller": "yes"}
    lab.write({"ports": {}, "clusters": {"dc1": entry}})
    write_atomically(lab.root / up.STARTED, "")
    with pytest.raises(LabError) as caught:
        up.up(lab, lambda _: None, ["dc1"], ["dc1"])
    assert caught.value.what == "the lab was started without Kueue on dc1"
    assert "meshctl lab up --group-controller dc1 --kueue dc1" in caught.value.hint


def test_only_a_cluster_that_is_there_from_the_start_can_have_it() -> None:
    result = CliRunner().invoke(app, ["lab", "up", "--kueue", "elsewhere"])
    assert result.exit_code != 0
    assert "aws-east, cw, dc1" in str(result.exception.hint)  # type: ignore[union-attr]


def test_its_certificates_are_such_as_it_takes_and_stay(tmp_path: Path) -> None:
    files = kueue_certificates.in_folder(tmp_path)
    assert files["ca.key"].startswith(b"-----BEGIN RSA PRIVATE KEY-----")  # its rotator reads no other kind
    assert kueue_certificates.in_folder(tmp_path) == files
    assert set(kueue_certificates.secret(files)["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
