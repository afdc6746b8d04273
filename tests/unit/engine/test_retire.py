"""A retire that is cut off at any moment, and done again: nothing costs on, and no bucket with data is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshctl.deploy import kubeconfig
from meshctl.deploy.deploy_state import deploy_state, stores_with_buckets
from meshctl.deploy.guards import preconditions
from meshctl.deploy.session import Session
from meshctl.errors import CredentialsError
from meshctl.model.deployment import Deployment, ObjectStore, Price
from meshctl.model.environment import Environments
from meshctl.model.observed import DeployState
from meshctl.model.stack_state import StackState
from meshctl.objects import object_access
from tests.unit.deployments import deployment
from tests.unit.states import state

FREE = Price(subject="storage/x", usd_per_hour=None, source="unknown")
KEPT = ("checkpoints", "weights")
STORES = (*KEPT, "empty", "scratch")
MOMENTS = 12  # of a retire that keeps data, at which a kill may fall
URN = "urn:pulumi:aws-east::llm-prod::"


ENVIRONMENTS = Environments.model_validate(
    {
        "apiVersion": "meshctl/v1",
        "kind": "Environments",
        "environments": {"aws-east": {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a"]}},
    }
)


class Killed(BaseException):
    """kill -9: nothing of ours may handle it."""


def store(name: str) -> ObjectStore:
    return ObjectStore(
        name=name, bucket=f"b-{name}", size_gib=1, region="us-east-1", ephemeral=name == "scratch", price=FREE
    )


DEPLOYMENT: Deployment = deployment(object_stores=tuple(store(name) for name in STORES))


def resource(type_: str, name: str, **inputs: Any) -> dict[str, Any]:
    return {"urn": f"{URN}{type_}::{name}", "type": type_, "custom": True, "inputs": inputs}


def bucket(name: str) -> dict[str, Any]:
    return resource("meshaws:s3:Bucket", f"storage/{name}:bucket", Bucket=f"b-{name}")


STACK = {
    **resource("pulumi:pulumi:Stack", "llm-prod-aws-east"),
    "custom": False,
    "outputs": {"deployment": DEPLOYMENT.model_dump(mode="json")},
}


@dataclass
class Cloud:
    """What is there, what the state knows of it, and a kill at one of the moments between two calls."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    buckets: set[str] = field(default_factory=lambda: set(STORES))
    objects: set[str] = field(default_factory=lambda: {*KEPT, "scratch"})  # the buckets that hold some
    moments: int = 0
    kill_at: int = 0

    def up(self) -> Cloud:
        cluster = resource("meshaws:eks:Cluster", "cluster:eks")
        namespace = resource("kubernetes:core/v1:Namespace", "platform:namespace")
        self.resources = [STACK, cluster, *map(bucket, STORES), namespace]
        return self

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.kill_at:
            raise Killed

    # the run of the stack
    def state(self) -> StackState:
        return state(*self.resources) if self.resources else StackState()

    recovered_state = state

    def retain(self, urns: frozenset[str]) -> None:
        self.moment()
        self.resources = [{**r, "retainOnDelete": r["urn"] in urns} for r in self.resources]

    def empty_on_delete(self, urns: frozenset[str]) -> None:
        self.moment()
        self.objects -= {name for name in STORES if bucket(name)["urn"] in urns}

    def destroy(self, *, state: StackState | None = None) -> None:
        """The namespace goes first, the cluster last."""
        for item in list(reversed(self.resources)):
            self.moment()
            self.resources.remove(item)
            name = str(item["inputs"].get("Bucket", "")).removeprefix("b-")
            if name and not item.get("retainOnDelete"):
                assert name not in KEPT or name not in self.objects, "deleted with its data"
                self.buckets.discard(name)
        self.moment()


@dataclass
class Retired(Session):
    """The session, on that cloud."""

    cloud: Cloud = field(default_factory=Cloud)

    def stack_run(self, *_: Any, **__: Any) -> Any:
        return self.cloud

    @property
    def dns_records(self) -> Any:
        return self

    def drop(self, environment: str) -> None:
        """No name leads there."""

    def up_object_storage(self, deployment: Deployment) -> Any:
        self.cloud.resources = self.cloud.resources or [{**STACK, "outputs": {}}]
        for each in deployment.object_stores:
            self.cloud.moment()
            assert each.name in self.cloud.buckets, f"the bucket of {each.name} is made anew"
            self.cloud.resources.append(bucket(each.name))
        self.cloud.moment()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud = Cloud().up()
    monkeypatch.setattr(
        object_access, "content_summary", lambda s: "1 object" if s.name in cloud.objects & cloud.buckets else ""
    )
    monkeypatch.setattr(object_access, "owner_urn", lambda s: bucket(s.name)["urn"] if s.name in cloud.buckets else "")
    monkeypatch.setattr(preconditions, "check_destroy", lambda *_: None)
    monkeypatch.setattr(kubeconfig, "remove_context", lambda *_: None)
    return cloud


def retire(cloud: Cloud, tmp_path: Path, *, keep_data: bool = True) -> None:
    session_ = Retired(tmp_path, "llm-prod", ENVIRONMENTS, cloud=cloud)
    destroy = session_.destroy_keeping_data if keep_data else session_.destroy_with_data
    destroy(DEPLOYMENT, allow_data_loss=not keep_data, command="meshctl migrations finish")


@pytest.mark.parametrize("at", range(1, MOMENTS + 1))
def test_cut_off_anywhere_a_second_retire_takes_the_buckets_with_data_back(
    cloud: Cloud, tmp_path: Path, at: int
) -> None:
    cloud.kill_at = at
    with pytest.raises(Killed):
        retire(cloud, tmp_path)
    retire(cloud, tmp_path)
    assert deploy_state(cloud.state()) is DeployState.STORAGE
    assert stores_with_buckets(cloud.state()) == list(KEPT)
    assert cloud.buckets == set(KEPT)


def test_all_moments_were_tried(cloud: Cloud, tmp_path: Path) -> None:
    retire(cloud, tmp_path)
    assert cloud.moments == MOMENTS


def test_with_its_data_nothing_stays(cloud: Cloud, tmp_path: Path) -> None:
    retire(cloud, tmp_path, keep_data=False)
    assert deploy_state(cloud.state()) is DeployState.NOTHING
    assert cloud.buckets == set()


@pytest.mark.parametrize("at", [1, 2])
def test_a_destroy_after_a_retire_that_was_cut_off_lets_go_of_nothing(cloud: Cloud, tmp_path: Path, at: int) -> None:
    """The marks of the retire are in the state: with them a bucket would count as deleted, and stay."""
    cloud.kill_at = at + 1
    with pytest.raises(Killed):
        retire(cloud, tmp_path)
    Retired(tmp_path, "llm-prod", ENVIRONMENTS, cloud=cloud).destroy("aws-east", allow_data_loss=True)
    assert deploy_state(cloud.state()) is DeployState.NOTHING
    assert cloud.buckets == set()


def test_a_bucket_of_that_name_that_is_another_s_is_left_alone(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `up` that could not make its bucket, for the name was taken."""
    cloud.resources = [r for r in cloud.resources if "weights" not in r["urn"]]
    monkeypatch.setattr(object_access, "owner_urn", lambda s: "" if s.name == "weights" else bucket(s.name)["urn"])
    retire(cloud, tmp_path)
    assert stores_with_buckets(cloud.state()) == ["checkpoints"]


class Tagging:
    """An S3 client that is asked for the tags of a bucket."""

    def __init__(self, answer: list[dict[str, str]] | str) -> None:
        self.answer = answer

    def get_bucket_tagging(self, **_: str) -> dict[str, Any]:
        if isinstance(self.answer, str):
            raise ClientError({"Error": {"Code": self.answer}}, "GetBucketTagging")
        return {"TagSet": self.answer}


@pytest.mark.parametrize(
    ("answer", "owner"),
    [
        ([{"Key": "team", "Value": "x"}, {"Key": "meshctl:urn", "Value": "urn:pulumi:a"}], "urn:pulumi:a"),
        ([{"Key": "team", "Value": "x"}], ""),
        ("NoSuchBucket", ""),
        ("NoSuchTagSet", ""),
        ("AccessDenied", ""),
    ],
)
def test_whose_a_bucket_is(answer: Any, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_access, "client", lambda _: Tagging(answer))
    assert object_access.owner_urn(store("weights")) == owner


def test_keys_that_are_no_longer_valid_tell_nothing_of_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_access, "client", lambda _: Tagging("ExpiredToken"))
    with pytest.raises(CredentialsError):
        object_access.owner_urn(store("weights"))
