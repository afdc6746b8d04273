"""Who the lab's EKS API servers take a bearer token for."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from meshctl import eks_token
from meshctl.errors import CredentialsError
from meshctl.lab import token_webhook
from meshctl.lab.state import Lab
from meshctl.lab.token_webhook import RefusedError, identify

ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
OPS = "arn:aws:iam::123456789012:user/ops"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Two clusters; the profile `default` administrates the first, `guest` has no entry anywhere."""
    (tmp_path / "aws").mkdir()
    profiles = {"default": "AKIADEFAULT", "guest": "AKIAGUEST"}
    text = "\n".join(
        f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = s%{name}" for name, key in profiles.items()
    )
    (tmp_path / "aws" / "credentials").write_text(text)
    (tmp_path / "config").write_text("")
    entry = {"access_key": "AKIADEFAULT", "username": OPS, "groups": ["ops"], "policies": [ADMIN]}
    clusters = {"one": ("plane-1", [entry]), "two": ("plane-2", [{**entry, "policies": [VIEW]}])}
    document = {name: {"control_plane": plane, "access": access} for name, (plane, access) in clusters.items()}
    (tmp_path / "eks.json").write_text(json.dumps({"clusters": document}))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws" / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Lab(tmp_path)


def now(minutes: float = 0) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)


def token(cluster: str, profile: str = "") -> str:
    return eks_token.token(cluster, "us-east-1", profile).text


def test_the_creator_is_a_cluster_administrator(lab: Lab) -> None:
    found = identify(lab, "plane-1", token("one"), now())
    assert found["username"] == OPS
    assert {"ops", "system:masters"} <= set(found["groups"])


def test_another_policy_gives_its_group_only(lab: Lab) -> None:
    found = identify(lab, "plane-2", token("two"), now())
    assert found["groups"] == ["ops", f"{token_webhook.POLICY_GROUP}AmazonEKSViewPolicy"]


@pytest.mark.parametrize(
    ("plane", "cluster", "profile", "minutes", "why"),
    [
        ("plane-2", "one", "", 0, "another cluster"),
        ("plane-3", "one", "", 0, "no EKS cluster runs here"),
        ("plane-1", "one", "guest", 0, "no access entry"),
        ("plane-1", "one", "", 16, "expired"),
        ("plane-1", "one", "", -2, "expired"),  # signed in the future
    ],
)
def test_refusals(lab: Lab, plane: str, cluster: str, profile: str, minutes: float, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        identify(lab, plane, token(cluster, profile), now(minutes))


def test_a_token_is_good_until_just_before_its_quarter_of_an_hour(lab: Lab) -> None:
    assert identify(lab, "plane-1", token("one"), now(14))["username"] == OPS


def changed(text: str, old: str, new: str) -> str:
    url = base64.urlsafe_b64decode(text.removeprefix(eks_token.PREFIX) + "==").decode()
    assert old in url
    return eks_token.PREFIX + base64.urlsafe_b64encode(url.replace(old, new).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("GetCallerIdentity", "AssumeRole"),
        ("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        ("AKIADEFAULT", "AKIAGUEST"),
        ("AKIADEFAULT", "AKIANOBODY"),
        ("http", "ftp"),
    ],
)
def test_a_changed_token_is_refused(lab: Lab, old: str, new: str) -> None:
    text = changed(token("one"), old, new)
    if old == "http":  # the scheme is no part of the signature, and nobody calls the URL
        assert identify(lab, "plane-1", text, now())
        return
    with pytest.raises(RefusedError):
        identify(lab, "plane-1", text, now())


@pytest.mark.parametrize(
    "text", ["", "k8s-aws-v1.", "k8s-aws-v1.AAAA", "k8s-aws-v1.\N{SNOWMAN}", "k8s-aws-v1.aHR0cDovLw"]
)
def test_what_is_no_token(lab: Lab, text: str) -> None:
    with pytest.raises(RefusedError):
        identify(lab, "plane-1", text, now())


def test_without_credentials_there_is_no_token(lab: Lab) -> None:
    (lab.root / "aws" / "credentials").write_text("")
    with pytest.raises(CredentialsError, match="no credentials for an EKS token in the default AWS profile"):
        token("one")
    with pytest.raises(CredentialsError, match="nobody"):
        token("one", "nobody")


def test_the_token_expires_within_a_quarter_of_an_hour(lab: Lab) -> None:
    made: Any = eks_token.token("one", "us-east-1")
    expires = datetime.datetime.strptime(made.expires, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    assert now(13) < expires < now(15)
