"""EKS of the lab's AWS API, called by boto3 over HTTP: clusters, node groups, access, add-ons, pod identity."""

from __future__ import annotations

import json
import socket
import time
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.integration.lab_aws_server import (
    ACCOUNT,
    ASSIGN,
    CA,
    KEY,
    REGION,
    TRUST,
    Aws,
    code_of,
    make_cluster,
    make_network,
)
from tests.waiting import wait_until


class TestClusters:
    def test_life(self, aws: Aws) -> None:
        network, eks, ec2 = make_cluster(aws, tags={"a": "b"}), aws.client("eks"), aws.client("ec2")
        cluster = eks.describe_cluster(name="c1")["cluster"]
        assert cluster["endpoint"] == "https://127.0.0.1:6443"
        assert cluster["certificateAuthority"]["data"] == CA
        assert cluster["identity"]["oidc"]["issuer"].startswith("https://oidc.eks.us-east-1.amazonaws.com/id/")
        assert cluster["tags"] == {"a": "b"}
        assert cluster["resourcesVpcConfig"]["vpcId"] == network["vpc"]
        group = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]
        assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"] == network["vpc"]
        assert aws.eks_json()["clusters"]["c1"]["control_plane"] == "aws-east"
        eks.delete_cluster(name="c1")
        wait_until(lambda: not eks.list_clusters()["clusters"])
        assert code_of(eks.describe_cluster, name="c1") == "ResourceNotFoundException"
        assert code_of(ec2.describe_security_groups, GroupIds=[group]) == "InvalidGroup.NotFound"
        assert aws.eks_json() == {"clusters": {}}
        assert json.loads((aws.root / "lab.json").read_text())["clusters"] == {}

    def test_a_private_cluster_does_not_answer_outside_its_vpc(self, aws: Aws) -> None:
        """finding A3"""
        network, eks = make_network(aws), aws.client("eks")
        access = {"endpointPublicAccess": False, "endpointPrivateAccess": True}
        config = {"subnetIds": network["subnets"], **access}
        eks.create_cluster(name="c1", roleArn=network["role"], resourcesVpcConfig=config)
        wait_until(lambda: eks.describe_cluster(name="c1")["cluster"]["status"] == "ACTIVE")
        endpoint = eks.describe_cluster(name="c1")["cluster"]["endpoint"]
        host, _, port = endpoint.removeprefix("https://").partition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=5)
        made_public = {"endpointPublicAccess": True, "publicAccessCidrs": ["203.0.113.0/24"]}
        done = eks.update_cluster_config(name="c1", resourcesVpcConfig=made_public)["update"]
        wait_until(lambda: status_of_update(eks, done) == "Successful")
        assert eks.describe_cluster(name="c1")["cluster"]["endpoint"] == "https://127.0.0.1:6443"

    def test_the_log_group_comes_back_after_its_cluster(self, aws: Aws) -> None:
        """finding B9: the last lines are written late, and make the group anew"""
        logging = {"clusterLogging": [{"types": ["audit"], "enabled": True}]}
        make_cluster(aws, logging=logging)
        eks, logs = aws.client("eks"), aws.client("logs")
        eks.delete_cluster(name="c1")
        wait_until(lambda: not eks.list_clusters()["clusters"])

        def groups() -> list[dict[str, Any]]:
            answer: list[dict[str, Any]] = logs.describe_log_groups(logGroupNamePrefix="/aws/eks/c1/")["logGroups"]
            return answer

        logs.delete_log_group(logGroupName="/aws/eks/c1/cluster")
        wait_until(groups)
        assert "retentionInDays" not in groups()[0]
        logs.delete_log_group(logGroupName="/aws/eks/c1/cluster")

    def test_refusals(self, aws: Aws) -> None:
        network, eks = make_cluster(aws), aws.client("eks")
        given = {"roleArn": network["role"], "resourcesVpcConfig": {"subnetIds": network["subnets"]}}
        assert code_of(eks.create_cluster, name="c1", **given) == "ResourceInUseException"
        one = given | {"resourcesVpcConfig": {"subnetIds": network["subnets"][:1]}}
        assert code_of(eks.create_cluster, name="c2", **one) == "InvalidParameterException"
        nobody = given | {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/nobody"}
        assert code_of(eks.create_cluster, name="c2", **nobody) == "InvalidParameterException"
        assert code_of(aws.client("eks", region="eu-west-1").describe_cluster, name="c1") == "ResourceNotFoundException"
        with pytest.raises(eks.exceptions.ResourceNotFoundException) as caught:
            eks.describe_nodegroup(clusterName="c1", nodegroupName="n")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404

    def test_updates(self, aws: Aws) -> None:
        make_cluster(aws, version="1.33")
        eks = aws.client("eks")
        done = eks.update_cluster_version(name="c1", version="1.34")["update"]
        wait_until(lambda: status_of_update(eks, done) == "Successful")
        assert eks.describe_cluster(name="c1")["cluster"]["version"] == "1.34"
        assert code_of(eks.update_cluster_version, name="c1", version="1.36") == "InvalidParameterException"
        logging = {"clusterLogging": [{"types": ["api"], "enabled": True}]}
        wait_update = eks.update_cluster_config(name="c1", logging=logging)["update"]
        wait_until(lambda: status_of_update(eks, wait_update) == "Successful")
        assert (
            eks.describe_cluster(name="c1")["cluster"]["logging"]["clusterLogging"][0] == logging["clusterLogging"][0]
        )
        assert code_of(eks.update_cluster_config, name="c1", logging=logging) == "InvalidParameterException"
        arn = eks.describe_cluster(name="c1")["cluster"]["arn"]
        eks.tag_resource(resourceArn=arn, tags={"x": "1", "y": "2"})
        eks.untag_resource(resourceArn=arn, tagKeys=["x"])
        assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"y": "2"}


def status_of_update(eks: Any, update: dict[str, Any], **names: str) -> str:
    return str(eks.describe_update(name="c1", updateId=update["id"], **names)["update"]["status"])


def succeeded(eks: Any, update: dict[str, Any], **names: str) -> bool:
    return status_of_update(eks, update, **names) == "Successful"


def is_active(eks: Any, nodegroup: str) -> bool:
    described = eks.describe_nodegroup(clusterName="c1", nodegroupName=nodegroup)["nodegroup"]
    return str(described["status"]) == "ACTIVE"


class TestNodegroups:
    def make(self, aws: Aws, network: dict[str, Any], **more: Any) -> None:
        aws.client("eks").create_nodegroup(
            clusterName="c1",
            nodegroupName="train",
            nodeRole=network["role"],
            subnets=network["subnets"],
            scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 2},
            labels={"meshctl.dev/pool": "train"},
            taints=[{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
            **more,
        )

    def status(self, aws: Aws) -> str:
        found = aws.client("eks").describe_nodegroup(clusterName="c1", nodegroupName="train")
        return str(found["nodegroup"]["status"])

    def test_active_when_the_nodes_are_ready_and_gone_when_they_are_gone(self, aws: Aws) -> None:
        network, eks, ec2 = make_cluster(aws), aws.client("eks"), aws.client("ec2")
        data = {"Placement": {"GroupName": "pg"}, "EbsOptimized": True}
        made = ec2.create_launch_template(LaunchTemplateName="lt", LaunchTemplateData=data)["LaunchTemplate"]
        template = {"id": made["LaunchTemplateId"], "version": "1"}
        self.make(aws, network, instanceTypes=["p5.48xlarge"], launchTemplate=template)
        entry = aws.eks_json()["clusters"]["c1"]["nodegroups"]["train"]
        assert entry["desiredSize"] == 2
        assert entry["instanceTypes"] == ["p5.48xlarge"]
        assert entry["zones"] == ["us-east-1a", "us-east-1b"]
        assert entry["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}]
        assert entry["placementGroup"] == "pg"
        aws.nodes(c1__train=1)
        time.sleep(1)
        assert self.status(aws) == "CREATING"
        aws.nodes(c1__train=2)
        wait_until(lambda: aws.eks_json()["clusters"]["c1"]["nodegroups"]["train"]["status"] == "ACTIVE")
        assert code_of(eks.delete_cluster, name="c1") == "ResourceInUseException"
        eks.delete_nodegroup(clusterName="c1", nodegroupName="train")
        time.sleep(1)
        assert self.status(aws) == "DELETING"
        aws.nodes()
        wait_until(lambda: not aws.eks_json()["clusters"]["c1"]["nodegroups"])
        assert code_of(eks.describe_nodegroup, clusterName="c1", nodegroupName="train") == "ResourceNotFoundException"

    def test_updates(self, aws: Aws) -> None:
        network, eks = make_cluster(aws), aws.client("eks")
        aws.nodes(c1__train=2)
        self.make(aws, network)
        wait_until(lambda: self.status(aws) == "ACTIVE")
        update = eks.update_nodegroup_config(
            clusterName="c1",
            nodegroupName="train",
            scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 3},
            labels={"addOrUpdateLabels": {"a": "b"}, "removeLabels": ["meshctl.dev/pool"]},
            taints={"removeTaints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}]},
        )["update"]
        entry = aws.eks_json()["clusters"]["c1"]["nodegroups"]["train"]
        assert (entry["desiredSize"], entry["labels"], entry["taints"]) == (3, {"a": "b"}, [])
        time.sleep(1)
        assert status_of_update(eks, update, nodegroupName="train") == "InProgress"
        again = {"minSize": 0, "maxSize": 4, "desiredSize": 1}
        refused = code_of(eks.update_nodegroup_config, clusterName="c1", nodegroupName="train", scalingConfig=again)
        assert refused == "ResourceInUseException"
        aws.nodes(c1__train=3)
        wait_until(lambda: status_of_update(eks, update, nodegroupName="train") == "Successful")

    def test_no_capacity(self, aws: Aws) -> None:
        network, eks = make_cluster(aws), aws.client("eks")
        fault = {"operation": "CreateNodegroup", "error": "NodeCreationFailure", "message": "no node joined"}
        aws.faults(fault | {"async": True})
        self.make(aws, network)
        wait_until(lambda: self.status(aws) == "CREATE_FAILED")
        issue = eks.describe_nodegroup(clusterName="c1", nodegroupName="train")["nodegroup"]["health"]["issues"][0]
        assert (issue["code"], issue["message"]) == ("NodeCreationFailure", "no node joined")

    def test_nodes_go_to_the_version_of_the_cluster_only_when_asked(self, aws: Aws) -> None:
        network, eks = make_cluster(aws, version="1.33"), aws.client("eks")
        self.make(aws, network)
        aws.nodes(c1__train=2)
        wait_until(lambda: self.status(aws) == "ACTIVE")
        done = eks.update_cluster_version(name="c1", version="1.34")["update"]
        wait_until(lambda: status_of_update(eks, done) == "Successful")
        names = {"clusterName": "c1", "nodegroupName": "train"}
        assert eks.describe_nodegroup(**names)["nodegroup"]["version"] == "1.33"
        assert code_of(eks.update_nodegroup_version, **names, version="1.35") == "InvalidParameterException"
        for version in (None, "1.34"):
            given = {"version": version} if version else {}
            update = eks.update_nodegroup_version(**names, **given)["update"]
            wait_until(partial(succeeded, eks, update, nodegroupName="train"))
            assert eks.describe_nodegroup(**names)["nodegroup"]["version"] == (version or "1.33")

    def test_nodes_are_replaced_in_batches(self, aws: Aws) -> None:
        """finding A9: one by one takes twenty times as long as all at once"""
        network, eks = make_cluster(aws), aws.client("eks")
        scaling = {"minSize": 0, "maxSize": 20, "desiredSize": 20}
        (aws.root / "account.json").write_text(json.dumps({"batchS": 0.5}))
        updates = {}
        for name, config in (("slow", {"maxUnavailable": 1}), ("fast", {"maxUnavailablePercentage": 100})):
            given = {"scalingConfig": scaling, "nodeRole": network["role"], "subnets": network["subnets"]}
            eks.create_nodegroup(clusterName="c1", nodegroupName=name, updateConfig=config, **given)
        aws.nodes(c1__slow=20, c1__fast=20)
        for name in ("slow", "fast"):
            wait_until(partial(is_active, eks, name))
            updates[name] = eks.update_nodegroup_version(clusterName="c1", nodegroupName=name)["update"]
        wait_until(partial(succeeded, eks, updates["fast"], nodegroupName="fast"))
        assert status_of_update(eks, updates["slow"], nodegroupName="slow") == "InProgress"


def make_role(aws: Aws, name: str, path: str) -> str:
    role = aws.client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(TRUST))
    return str(role["Role"]["Arn"])


class TestAccess:
    def test_the_creator_is_an_administrator(self, aws: Aws) -> None:
        make_cluster(aws)
        eks, caller = aws.client("eks"), aws.client("sts").get_caller_identity()["Arn"]
        assert caller == f"arn:aws:iam::{ACCOUNT}:user/default"
        assert eks.list_access_entries(clusterName="c1")["accessEntries"] == [caller]
        entry = aws.eks_json()["clusters"]["c1"]["access"][0]
        assert (entry["principalArn"], entry["access_key"]) == (caller, KEY)
        assert entry["policies"] == [f"{ASSIGN}AmazonEKSClusterAdminPolicy"]

    def test_entries_and_policies(self, aws: Aws) -> None:
        make_cluster(aws)
        eks = aws.client("eks")
        who = {"clusterName": "c1", "principalArn": make_role(aws, "ops", "/teams/")}
        eks.create_access_entry(**who, kubernetesGroups=["ops"], tags={"t": "1"})
        assert code_of(eks.create_access_entry, **who) == "ResourceInUseException"
        eks.update_access_entry(**who, kubernetesGroups=["ops", "more"])
        assert eks.describe_access_entry(**who)["accessEntry"]["kubernetesGroups"] == ["ops", "more"]
        policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
        eks.associate_access_policy(**who, policyArn=policy, accessScope={"type": "namespace", "namespaces": ["n"]})
        found = eks.list_associated_access_policies(**who)["associatedAccessPolicies"]
        assert [item["accessScope"]["namespaces"] for item in found] == [["n"]]
        eks.disassociate_access_policy(**who, policyArn=policy)
        assert eks.list_associated_access_policies(**who)["associatedAccessPolicies"] == []
        eks.delete_access_entry(**who)
        assert code_of(eks.describe_access_entry, **who) == "ResourceNotFoundException"

    def test_a2_without_its_bootstrap_the_creator_gets_in_by_an_entry_like_everybody(self, aws: Aws) -> None:
        mode = "API_AND_CONFIG_MAP"
        off = {"authenticationMode": mode, "bootstrapClusterCreatorAdminPermissions": False}
        make_cluster(aws, accessConfig=off)
        eks, caller = aws.client("eks"), aws.client("sts").get_caller_identity()["Arn"]
        assert eks.list_access_entries(clusterName="c1")["accessEntries"] == []
        assert aws.eks_json()["clusters"]["c1"]["access"] == []
        eks.create_access_entry(clusterName="c1", principalArn=caller)
        assert [each["access_key"] for each in aws.eks_json()["clusters"]["c1"]["access"]] == [KEY]

    def test_an_entry_is_for_a_principal_that_is_there_and_for_no_session(self, aws: Aws) -> None:
        make_cluster(aws)
        eks, role = aws.client("eks"), make_role(aws, "seen", "/teams/")
        for principal, words in (
            (f"arn:aws:sts::{ACCOUNT}:assumed-role/seen/alice", "format is not valid"),
            (role.replace("/teams/", "/"), "invalid principal"),
            (f"arn:aws:iam::{ACCOUNT}:user/nobody", "invalid principal"),
        ):
            with pytest.raises(ClientError, match=words) as error:
                eks.create_access_entry(clusterName="c1", principalArn=principal)
            assert error.value.response["Error"]["Code"] == "InvalidParameterException"
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        eks.create_access_entry(clusterName="c1", principalArn=role)
        with pytest.raises(ClientError) as taken:
            eks.create_access_entry(clusterName="c1", principalArn=role)
        assert taken.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409

    def test_the_session_of_a_role_acts_as_the_role_with_its_path(self, aws: Aws) -> None:
        role = make_role(aws, "platform", "/teams/")
        keys = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="alice")["Credentials"]
        session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION)
        network = make_network(aws)
        session.client("eks", endpoint_url=f"http://127.0.0.1:{aws.port}").create_cluster(
            name="c1",
            roleArn=network["role"],
            resourcesVpcConfig={"subnetIds": network["subnets"]},
            accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"},
        )
        wait_until(lambda: aws.client("eks").describe_cluster(name="c1")["cluster"]["status"] == "ACTIVE")
        assert aws.client("eks").list_access_entries(clusterName="c1")["accessEntries"] == [role]

    def test_config_map_clusters_have_no_entries(self, aws: Aws) -> None:
        make_cluster(aws, accessConfig={"authenticationMode": "CONFIG_MAP"})
        eks = aws.client("eks")
        assert code_of(eks.list_access_entries, clusterName="c1") == "InvalidRequestException"
        assert [entry["access_key"] for entry in aws.eks_json()["clusters"]["c1"]["access"]] == [KEY]


def test_addons(aws: Aws) -> None:
    make_cluster(aws)
    eks, names = aws.client("eks"), {"clusterName": "c1", "addonName": "vpc-cni"}
    eks.create_addon(**names, resolveConflicts="OVERWRITE")
    wait_until(lambda: eks.describe_addon(**names)["addon"]["status"] == "ACTIVE")
    update = eks.update_addon(**names, configurationValues='{"env": {"A": "1"}}')["update"]
    wait_until(lambda: status_of_update(eks, update, addonName="vpc-cni") == "Successful")
    assert eks.describe_addon(**names)["addon"]["configurationValues"] == '{"env": {"A": "1"}}'
    assert code_of(eks.create_addon, clusterName="c1", addonName="nonsense") == "InvalidParameterException"
    eks.delete_addon(**names)
    wait_until(lambda: eks.list_addons(clusterName="c1")["addons"] == [])


def test_pod_identity(aws: Aws) -> None:
    network = make_cluster(aws)
    eks = aws.client("eks")
    who = {"clusterName": "c1", "namespace": "n", "serviceAccount": "s"}
    made = eks.create_pod_identity_association(**who, roleArn=network["role"], tags={"a": "b"})["association"]
    assert code_of(eks.create_pod_identity_association, **who, roleArn=network["role"]) == "ResourceInUseException"
    names = {"clusterName": "c1", "associationId": made["associationId"]}
    eks.tag_resource(resourceArn=made["associationArn"], tags={"c": "d"})
    assert eks.describe_pod_identity_association(**names)["association"]["tags"] == {"a": "b", "c": "d"}
    assert len(eks.list_pod_identity_associations(**who)["associations"]) == 1
    assert eks.list_pod_identity_associations(**who | {"namespace": "other"})["associations"] == []
    eks.update_pod_identity_association(**names, disableSessionTags=True)
    assert eks.describe_pod_identity_association(**names)["association"]["disableSessionTags"] is True
    eks.delete_pod_identity_association(**names)
    assert code_of(eks.describe_pod_identity_association, **names) == "ResourceNotFoundException"
