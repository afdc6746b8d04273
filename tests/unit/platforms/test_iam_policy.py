"""The least IAM policy of an environment: everything that may be called is in it, and nothing by a wildcard."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from meshctl import policy_parts
from meshctl.errors import UsageError
from meshctl.load import load
from meshctl.model.deployment import Deployment, Endpoint, EndpointCertificate, ExistingFileSystem
from meshctl.model.questions import ApiAnswer, InPlace, PolicyScope
from meshctl.platforms.aws import PLATFORM
from meshctl.platforms.aws.iam import iam_actions, iam_policy
from meshctl.policies import least_policy
from providers.aws.rows import ALL
from providers.aws.rows_engine.operations import operations, optional_operations
from tests.command_line import meshctl
from tests.unit.stacks import declared_on_aws
from tests.unit.weka_mesh import joined

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "llm-prod"
SCOPE = PolicyScope(account="123456789012", dns_zone="Z1", state="s3://team-state?region=us-east-1")
# Actions that are not called as any operation of their service (Service Authorization Reference).
NO_OPERATION = {"iam:PassRole", "s3:DeleteObjectVersion", "s3:ListMultipartUploadParts"}


@cache
def example() -> Deployment:
    return declared_on_aws.example()


OF_EXPAND = ("meshaws:route53:HealthCheck",)  # whose rights are in a policy of their own


def deployment(**changes: Any) -> Deployment:
    return example().model_copy(update=changes)


def statements(wanted: Deployment, scope: PolicyScope = SCOPE) -> dict[str, dict[str, Any]]:
    assert PLATFORM.preflight is not None
    assert PLATFORM.preflight.policy is not None
    return {each["Sid"]: each for each in PLATFORM.preflight.policy(wanted, scope)["Statement"]}


def allowed(wanted: Deployment, scope: PolicyScope = SCOPE) -> set[str]:
    return {action for each in statements(wanted, scope).values() for action in each["Action"]}


def with_all_services() -> Deployment:
    lustre = deployment().file_systems[0]
    services = (lustre, lustre.model_copy(update={"name": "home", "service": "efs"}))
    more = {"endpoints": (with_certificate(),), "neural_mesh": joined(has_address_blocks=True)}
    return deployment(file_systems=services, **more)


def with_certificate() -> Endpoint:
    return example().endpoints[0].model_copy(update={"certificate": EndpointCertificate(zone="Z1")})


def test_every_operation_of_every_row_is_allowed_where_the_row_is_declared() -> None:
    """finding A12"""
    session = botocore.session.get_session()
    rows = tuple(row for row in ALL if row.token not in OF_EXPAND)
    assert iam_policy.rows(with_all_services(), SCOPE) == rows
    actions = allowed(with_all_services()) | allowed(with_all_services(), replace(SCOPE, for_expand=True))
    for row in ALL:
        assert operations(row) <= set(session.get_service_model(row.service).operation_names), row.token
        assert iam_actions.actions(row.service, operations(row)) <= actions, row.token


def test_expand_has_a_policy_of_its_own_for_the_health_checks_of_shared_names() -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    policy = least_policy(mesh, environments, "aws-east", for_expand=True)
    assert [each.name for each in policy.parts] == ["llm-prod-expand"]
    assert not [action for action in allowed(deployment()) if "HealthCheck" in action]
    look, checks = policy.document["Statement"]
    # these two have no resource to be named (Service Authorization Reference)
    assert (look["Action"], look["Resource"]) == (["route53:CreateHealthCheck", "route53:ListHealthChecks"], "*")
    assert checks["Resource"] == "arn:aws:route53:::healthcheck/*"
    assert {*look["Action"], *checks["Action"]} == iam_policy.actions_of(OF_EXPAND)
    assert any(
        "meshctl doctor --iam-policy aws-east --for expand > llm-prod-expand.json" in each for each in policy.notes
    )


def test_no_other_command_has_one(many_services: Path) -> None:
    document, notes = printed(many_services, "doctor", "--iam-policy", "aws-east", "--for", "expand")
    assert [each["Sid"] for each in document["Statement"]] == ["LookAtChecks", "Checks"]
    assert "need beside the policy without `--for`" in notes
    refused = meshctl("doctor", "--iam-policy", "aws-east", "--for", "shift", folder=many_services)
    assert (refused.returncode, refused.stdout) == (64, "")
    assert "hint: leave `--for` out" in refused.stderr
    assert "hint: add `--iam-policy ENV`" in meshctl("doctor", "--for", "expand", folder=many_services).stderr


def test_certificates_are_asked_for_in_the_region_and_only_where_an_endpoint_has_one() -> None:
    assert not [action for action in allowed(deployment()) if action.startswith("acm:")]
    (statement,) = (
        each
        for each in statements(deployment(endpoints=(with_certificate(),))).values()
        if "acm:RequestCertificate" in each["Action"]
    )
    assert {"acm:DescribeCertificate", "acm:DeleteCertificate", "acm:ListCertificates"} <= set(statement["Action"])
    assert statement["Condition"] == {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}


def test_every_call_in_the_code_of_a_hook_is_among_the_operations_of_some_row() -> None:
    names = {op for row in ALL for op in operations(row)}
    names |= {op for row in ALL for _, op in optional_operations(row)}
    sent: set[str] = set()
    for path in (ROOT / "providers" / "aws" / "rows").glob("*.py"):
        text = path.read_text()
        sent |= set(re.findall(r"client\.([a-z]+_[a-z_0-9]+)\b", text))
        sent |= set(re.findall(r'get_paginator\("([a-z_0-9]+)"\)', text))
    sent -= {"get_paginator", "can_paginate"}
    assert sent
    called = {"list_objects_v2": "ListObjectsV2"}
    for method in sent:
        assert called.get(method, iam_actions.operation_of(method)) in names, method


SERVICES = ("efs", "eks", "fsx", "iam", "route53", "s3", "ssm", "sts")  # of which meshctl's own clients call anything


def own_calls() -> dict[str, set[tuple[str, str]]]:
    """The operations that the code of meshctl's own clients names, by module. One of several services is of each."""
    session = botocore.session.get_session()
    operations_by_method: dict[str, set[tuple[str, str]]] = {}
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            operations_by_method.setdefault(botocore.xform_name(operation), set()).add((service, operation))
    called: dict[str, set[tuple[str, str]]] = {}
    for path in (ROOT / "meshctl").rglob("*.py"):
        text = path.read_text()
        if "lab" in path.parts or not re.search(r"aws_session|s3_client|create_client|boto3", text):
            continue
        methods = set(re.findall(r"\.([a-z]+_[a-z_0-9]+)\b", text)) | set(re.findall(r'get_paginator\("(\w+)"\)', text))
        made = {each for method in methods for each in operations_by_method.get(method, ())}
        if made:
            called[path.relative_to(ROOT / "meshctl").as_posix()] = made
    return called


def test_every_call_of_meshctls_own_clients_is_allowed() -> None:
    """Those of `up`, `plan`, `migrate`, `expand`, `contract`, `destroy` and `adopt` alike: they share their clients.
    `shift` and lending call the API server alone."""
    called = own_calls()
    own = {"clients/aws/existing_file_systems.py", "deploy/guards/deleted_entries.py", "dns/endpoint_records.py"}
    assert {*own, "objects/listing.py"} <= called.keys()
    assert ("eks", "CreateAccessEntry") in called["deploy/guards/deleted_entries.py"]
    assert not [module for module in called if module.startswith("shift/")]
    adopted = (
        deployment().file_systems[0].model_copy(update={"existing": ExistingFileSystem(id="fs-0123456789abcdef0")})
    )
    actions = allowed(deployment(file_systems=(adopted,)))
    for module, calls in called.items():
        for service, operation in calls:
            needed = iam_actions.actions(service, [operation]) - {"sts:GetCallerIdentity"}  # needs no permission
            assert needed <= actions, (module, operation)


def test_an_adopted_file_system_is_looked_for_in_both_services_and_never_made() -> None:
    """Its id does not say of which service it is."""
    own = deployment().file_systems[0]
    for service in ("efs", "fsx-lustre"):
        existing = ExistingFileSystem(id="fs-0123456789abcdef0")
        adopted = own.model_copy(update={"service": service, "existing": existing})
        actions = allowed(deployment(file_systems=(adopted,)))
        assert {"elasticfilesystem:DescribeFileSystems", "fsx:DescribeFileSystems"} <= actions
        made = {"elasticfilesystem:CreateFileSystem", "fsx:CreateFileSystem", "fsx:DeleteFileSystem"}
        assert not made & actions
        targets = {"elasticfilesystem:CreateMountTarget", "elasticfilesystem:DeleteMountTarget"}
        assert (targets <= actions) == (service == "efs")
    assert "elasticfilesystem:DescribeFileSystems" not in allowed(deployment(file_systems=(own,)))


def test_every_question_about_what_is_up_is_allowed() -> None:
    """Of newer releases, and of other places for pools that got no machines."""
    assert PLATFORM.releases is not None
    assert PLATFORM.preflight is not None
    assert PLATFORM.preflight.elsewhere is not None
    wanted = deployment()
    version = wanted.cluster.version
    answered = {
        "describe_cluster": {"cluster": {"version": version}},
        "describe_nodegroup": {"nodegroup": {"amiType": "AL2023_x86_64_STANDARD", "version": version}},
        "describe_addon": {"addon": {"addonVersion": "v1.0.0"}},
    }
    questions = [*PLATFORM.releases.running(wanted), *PLATFORM.preflight.elsewhere.questions(wanted.pools)]
    answers = {each.name: ApiAnswer(answered.get(each.operation, {})) for each in questions}
    questions += PLATFORM.releases.newest(wanted, answers)
    assert {each.operation for each in questions} >= {"get_parameter", "describe_addon_versions", *answered}
    for question in questions:
        operation = iam_actions.operation_of(question.operation)
        assert iam_actions.actions(question.service, [operation]) <= allowed(wanted), question


def test_every_question_is_allowed_and_names_an_operation_of_the_api() -> None:
    assert PLATFORM.preflight is not None
    reserved = tuple(pool.model_copy(update={"reservation": "cr-0123"}) for pool in deployment().pools)
    wanted = deployment(pools=reserved)
    session = botocore.session.get_session()
    first = PLATFORM.preflight.questions(wanted, InPlace())
    gateways = ApiAnswer({"NatGateways": [{"SubnetId": "subnet-1", "State": "available"}]})
    follow_ups = [each for one in first if one.name == "gateways" and one.then for each in one.then(gateways)]
    assert [each.operation for each in follow_ups] == ["describe_subnets"]
    for question in (*first, *follow_ups):
        operation = iam_actions.operation_of(question.operation)
        assert operation in session.get_service_model(question.service).operation_names
        needed = iam_actions.actions(question.service, [operation]) - {"sts:GetCallerIdentity"}  # needs no permission
        assert needed <= allowed(wanted), question
    assert {"iam:GetRole", "iam:SimulatePrincipalPolicy"} <= allowed(wanted)  # the questions that follow


def test_every_action_is_one_of_its_service_and_none_is_a_wildcard() -> None:
    session = botocore.session.get_session()
    prefixes = {"elasticfilesystem": "efs", "servicequotas": "service-quotas"}
    renamed = {action for actions in iam_actions._ACTIONS.values() for action in actions}
    for action in allowed(with_all_services()) - NO_OPERATION:
        service, _, name = action.partition(":")
        model = session.get_service_model(prefixes.get(service, service))
        assert name in model.operation_names or action in renamed, action


def test_what_has_a_name_is_named() -> None:
    of = statements(deployment())
    assert of["Eks"]["Resource"] == [
        "arn:aws:eks:us-east-1:123456789012:cluster/llm-prod-aws-east",
        "arn:aws:eks:us-east-1:123456789012:*/llm-prod-aws-east/*",
        "arn:aws:ssm:*::parameter/aws/*",
    ]
    assert of["Pass"]["Resource"] == "arn:aws:iam::123456789012:role/llm-prod-aws-east-*"
    assert "eks.amazonaws.com" in of["Pass"]["Condition"]["StringEquals"]["iam:PassedToService"]
    assert of["Add"]["Condition"] == {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::aws:policy/*"}}
    assert of["Logs"]["Resource"].endswith(":log-group:/aws/eks/llm-prod-aws-east/cluster*")
    assert of["Dns"]["Resource"] == ["arn:aws:route53:::change/*", "arn:aws:route53:::hostedzone/Z1"]
    assert of["StateObjects"]["Resource"] == "arn:aws:s3:::team-state/*"
    # only what no name can be given to is open
    assert {sid for sid, each in of.items() if each["Resource"] == "*"} == {"Look", "Region"}


def test_roles_with_a_path_are_named_with_it() -> None:
    made = deployment()
    cluster = made.cluster.model_copy(update={"role_path": "/teams/genai/"})
    roles = statements(made.model_copy(update={"cluster": cluster}))["Roles"]["Resource"]
    assert roles == "arn:aws:iam::123456789012:role/teams/genai/llm-prod-aws-east-*"


def test_what_is_asked_beyond_the_region_and_the_mesh_is_not_narrowed_to_them() -> None:
    """The regions are asked in one of them, and roles of services have names of their own."""
    wanted = deployment(region="eu-south-1")  # has to be enabled, which is asked
    look = statements(wanted)["Look"]
    assert {"ec2:DescribeRegions", "iam:GetRole"} <= set(look["Action"])
    assert (look["Resource"], "Condition" in look) == ("*", False)
    assert "route53:GetHostedZone" in allowed(wanted)


def test_what_the_environment_does_not_use_is_not_allowed() -> None:
    bare = deployment(file_systems=(), object_stores=())
    services = {action.partition(":")[0] for action in allowed(bare, PolicyScope())}
    assert not services & {"elasticfilesystem", "fsx", "route53"}
    assert not {action for action in allowed(bare, PolicyScope()) if action.startswith("s3:")}


def test_a_bucket_of_somebody_else_is_used_and_never_changed() -> None:
    stores = tuple(store.model_copy(update={"is_adopted": True}) for store in deployment().object_stores)
    actions = allowed(deployment(object_stores=stores), PolicyScope())
    assert "s3:GetObject" in actions
    assert "s3:DeleteBucket" not in actions


def test_a_service_makes_its_own_role_where_it_is_used() -> None:
    spot = tuple(pool.model_copy(update={"market": "spot"}) for pool in deployment().pools)
    services = statements(deployment(pools=spot))["Link"]["Condition"]["StringEquals"]["iam:AWSServiceName"]
    assert services == ["eks.amazonaws.com", "eks-nodegroup.amazonaws.com", "fsx.amazonaws.com", "spot.amazonaws.com"]


def single_rights(*documents: Any) -> Counter[tuple[str, str, str]]:
    """Every action on every resource, with its conditions."""
    return Counter(
        (action, resource, json.dumps(statement.get("Condition"), sort_keys=True))
        for document in documents
        for statement in document["Statement"]
        for action in statement["Action"]
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    )


def with_buckets(count: int) -> Deployment:
    store = example().object_stores[0]
    names = [f"{number:03}-{'x' * 50}" for number in range(count)]
    return deployment(object_stores=tuple(store.model_copy(update={"name": each, "bucket": each}) for each in names))


@pytest.mark.parametrize(
    ("wanted", "number"),
    [(example(), 2), (with_all_services(), 2), (with_buckets(40), 3), (with_buckets(200), 9)],
    ids=["example", "all services", "40 buckets", "200 buckets"],
)
def test_each_part_fits_into_a_managed_policy_and_together_they_allow_the_same(wanted: Deployment, number: int) -> None:
    assert PLATFORM.preflight is not None
    assert PLATFORM.preflight.policy is not None
    whole = PLATFORM.preflight.policy(wanted, SCOPE)
    parts = policy_parts.parts(whole)
    assert len(parts) == number
    assert single_rights(*parts) == single_rights(whole)
    for part in parts:
        assert len(json.dumps(part, separators=(",", ":"))) <= 6144
        assert part.keys() == {"Version", "Statement"}
        names = [statement["Sid"] for statement in part["Statement"]]
        assert names
        assert len(set(names)) == len(names)
        assert all(name.isalnum() for name in names)
        assert all(statement["Action"] and statement["Resource"] for statement in part["Statement"])


def test_a_long_policy_is_divided_where_one_service_ends() -> None:
    assert PLATFORM.preflight is not None
    assert PLATFORM.preflight.policy is not None
    first, second = map(
        policy_parts.services, policy_parts.parts(PLATFORM.preflight.policy(with_all_services(), SCOPE))
    )
    assert {"ec2", "eks"} <= set(first)
    assert {"s3", "route53"} <= set(second)


def printed(folder: Path, *options: str) -> tuple[Any, str]:
    ended = meshctl(*options, folder=folder)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


@pytest.fixture
def many_services(tmp_path: Path) -> Path:
    """The example, with file systems of both services and a certificate."""
    mesh = (EXAMPLE / "mesh.yaml").read_text()
    assert "\nstorage:\n" in mesh
    home = "  home: {kind: filesystem, size: 100GiB}\n"
    buckets = "".join(f"  results-{number}: {{kind: object, size: 1GiB}}\n" for number in range(9))
    (tmp_path / "mesh.yaml").write_text(mesh.replace("\nstorage:\n", f"\nstorage:\n{home}{buckets}"))
    (tmp_path / "environments.yaml").write_text((EXAMPLE / "environments.yaml").read_text())
    return tmp_path


def test_doctor_prints_the_parts_one_by_one_and_how_they_are_attached(many_services: Path) -> None:
    whole, notes = printed(many_services, "doctor", "--iam-policy", "aws-east")
    assert "a managed policy at most 6144: make 2 of it (llm-prod-aws-east-1: autoscaling, ec2, " in notes
    for number in (1, 2):
        assert f"meshctl doctor --iam-policy aws-east --part {number} > llm-prod-aws-east-{number}.json" in notes
        assert f"--policy-name llm-prod-aws-east-{number} --policy-document file://llm-prod-aws-east-{number}" in notes
    parts = [printed(many_services, "doctor", "--iam-policy", "aws-east", "--part", number) for number in "12"]
    assert single_rights(*(document for document, _ in parts)) == single_rights(whole)
    assert [text for _, text in parts] == ["", ""]
    answer, _ = printed(many_services, "--output", "json", "doctor", "--iam-policy", "aws-east")
    assert answer["policy"] == whole
    assert [each["document"] for each in answer["policies"]] == [document for document, _ in parts]
    assert [each["name"] for each in answer["policies"]] == ["llm-prod-aws-east-1", "llm-prod-aws-east-2"]
    refused = meshctl("doctor", "--iam-policy", "aws-east", "--part", "3", folder=many_services)
    assert (refused.returncode, refused.stdout) == (64, "")
    assert "hint: give a number from 1 to 2" in refused.stderr


def test_a_policy_that_fits_is_printed_as_it_is_made() -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    policy = least_policy(mesh, environments, "aws-east")
    assert [(each.name, each.document) for each in policy.parts] == [("llm-prod-aws-east", policy.document)]
    assert not any("characters" in note for note in policy.notes)
    assert any("meshctl doctor --iam-policy aws-east > llm-prod-aws-east.json" in note for note in policy.notes)
    with pytest.raises(UsageError, match="no part 2"):
        policy.part(2)


def test_a_platform_without_iam_says_so() -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    other = next(name for name, each in environments.environments.items() if each.provider != "aws")
    with pytest.raises(UsageError, match="has no IAM policies"):
        least_policy(mesh, environments, other)
