"""The lab as a whole: what a user sees of it, over the tools a user has."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def apply(lab: RunningLab, context: str, *objects: dict[str, Any]) -> None:
    file = lab.folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    lab.kubectl(context, "apply", "-f", str(file))


def get(lab: RunningLab, context: str, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.kubectl(context, "get", *arguments, "-o", "json"))
    return found


def conditions(item: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in item.get("status", {}).get("conditions", ())}


# ---- EKS


@pytest.fixture(scope="module")
def network(lab: RunningLab) -> Iterator[dict[str, Any]]:
    ec2, iam = lab.boto3("ec2"), lab.boto3("iam")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    role = iam.create_role(RoleName="lab-test", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    yield {"subnets": [subnet["SubnetId"] for subnet in subnets], "role": role}
    iam.delete_role(RoleName="lab-test")
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc)


def is_active(eks: Any, cluster: str) -> bool:
    return bool(eks.describe_cluster(name=cluster)["cluster"]["status"] == "ACTIVE")


def has_active_nodes(eks: Any, cluster: str) -> bool:
    return bool(nodegroup(eks, cluster)["status"] == "ACTIVE")


def no_nodegroups(eks: Any, cluster: str) -> bool:
    return not eks.list_nodegroups(clusterName=cluster)["nodegroups"]


@pytest.fixture(scope="module")
def clusters(lab: RunningLab, network: dict[str, Any]) -> Iterator[dict[str, dict[str, Any]]]:
    """Two EKS clusters with a node group each; they are gone afterwards, with all that belongs to them."""
    eks, names = lab.boto3("eks"), ("first", "second")
    cards = [{"NetworkCardIndex": card, "DeviceIndex": min(card, 1), "InterfaceType": "efa"} for card in range(32)]
    template = lab.boto3("ec2").create_launch_template(
        LaunchTemplateName="efa", LaunchTemplateData={"NetworkInterfaces": cards}
    )["LaunchTemplate"]
    for name in names:
        eks.create_cluster(
            name=name,
            roleArn=network["role"],
            resourcesVpcConfig={"subnetIds": network["subnets"]},
            accessConfig={"authenticationMode": "API"},
        )
    for name in names:
        wait_until(partial(is_active, eks, name))
        eks.create_nodegroup(
            clusterName=name,
            nodegroupName="train",
            nodeRole=network["role"],
            subnets=network["subnets"],
            instanceTypes=["p5.48xlarge"],
            amiType="AL2023_x86_64_NVIDIA",
            launchTemplate={"id": template["LaunchTemplateId"], "version": "1"},
            scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 2},
            labels={"meshctl.dev/pool": "train", "team": "a"},
            taints=[{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
        )
    for name in names:
        wait_until(partial(has_active_nodes, eks, name))
    yield {name: eks.describe_cluster(name=name)["cluster"] for name in names}
    planes = {cluster["control_plane"] for cluster in eks_json(lab)["clusters"].values()}
    for name in names:
        eks.delete_nodegroup(clusterName=name, nodegroupName="train")
        wait_until(partial(no_nodegroups, eks, name))
        eks.delete_cluster(name=name)
    wait_until(lambda: not eks.list_clusters()["clusters"])
    assert not planes & set(lab.lab.read()["clusters"])
    assert not planes & {folder.name for folder in (lab.lab.root / "kwok" / "clusters").iterdir()}


def eks_json(lab: RunningLab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((lab.lab.root / "eks.json").read_text())
    return found


def nodegroup(eks: Any, cluster: str) -> dict[str, Any]:
    found: dict[str, Any] = eks.describe_nodegroup(clusterName=cluster, nodegroupName="train")["nodegroup"]
    return found


def change(eks: Any, **given: Any) -> None:
    update = eks.update_nodegroup_config(**given)["update"]["id"]
    names = {"name": given["clusterName"], "nodegroupName": given["nodegroupName"], "updateId": update}
    wait_until(lambda: eks.describe_update(**names)["update"]["status"] == "Successful")


def bearer(lab: RunningLab, cluster: str, profile: str = "default") -> str:
    """The token of `meshctl eks-token`, as kubectl gets it."""
    done = lab.meshctl("eks-token", "--cluster-name", cluster, "--region", "us-east-1", "--profile", profile)
    credential = json.loads(done.stdout)
    assert credential["apiVersion"] == "client.authentication.k8s.io/v1"
    return str(credential["status"]["token"])


def ask(cluster: dict[str, Any], token: str, path: str = "/api/v1/nodes", **options: Any) -> httpx.Response:
    authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(verify=ssl.create_default_context(cadata=authority), headers=headers, timeout=20) as client:
        return client.request(options.pop("method", "GET"), cluster["endpoint"] + path, **options)


class TestEks:
    def test_nodes_have_the_hardware_of_their_machine_type(
        self, lab: RunningLab, clusters: dict[str, dict[str, Any]]
    ) -> None:
        for name, cluster in clusters.items():
            nodes = ask(cluster, bearer(lab, name)).json()["items"]
            assert [node["metadata"]["name"] for node in nodes] == ["train-0", "train-1"]
            assert [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes] == [
                "us-east-1a",
                "us-east-1b",
            ]
            labels = nodes[0]["metadata"]["labels"]
            assert labels["node.kubernetes.io/instance-type"] == "p5.48xlarge"
            assert (labels["eks.amazonaws.com/nodegroup"], labels["meshctl.dev/pool"]) == ("train", "train")
            allocatable = nodes[0]["status"]["allocatable"]
            assert (allocatable["nvidia.com/gpu"], allocatable["vpc.amazonaws.com/efa"]) == ("8", "32")
            assert {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"} in nodes[0]["spec"]["taints"]

    def test_dns_runs_once_a_node_takes_it(
        self, lab: RunningLab, network: dict[str, Any], clusters: dict[str, dict[str, Any]]
    ) -> None:
        """finding A11: a cluster with GPU nodes alone, all tainted, has no DNS"""
        eks, names = lab.boto3("eks"), {"clusterName": "first", "addonName": "coredns"}
        eks.create_addon(**names)
        wait_until(lambda: eks.describe_addon(**names)["addon"]["status"] == "DEGRADED")
        path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
        assert ask(clusters["first"], bearer(lab, "first"), path).json()["status"].get("readyReplicas", 0) == 0
        web = {"clusterName": "first", "nodegroupName": "web"}
        scaling = {"minSize": 0, "maxSize": 1, "desiredSize": 1}
        eks.create_nodegroup(
            **web,
            nodeRole=network["role"],
            subnets=network["subnets"],
            instanceTypes=["m6i.xlarge"],
            scalingConfig=scaling,
        )
        try:
            wait_until(lambda: eks.describe_addon(**names)["addon"]["status"] == "ACTIVE")
            assert ask(clusters["first"], bearer(lab, "first"), path).json()["status"]["readyReplicas"] == 2
        finally:
            eks.delete_nodegroup(**web)
            wait_until(lambda: eks.list_nodegroups(clusterName="first")["nodegroups"] == ["train"])
            eks.delete_addon(**names)

    def test_tokens(self, lab: RunningLab, clusters: dict[str, dict[str, Any]]) -> None:
        first, good = clusters["first"], bearer(lab, "first")
        assert ask(first, good).status_code == 200
        assert ask(first, bearer(lab, "second")).status_code == 401  # signed for another cluster
        assert ask(first, f"{good[:-6]}AAAAAA").status_code == 401
        assert ask(first, "k8s-aws-v1.AAAA").status_code == 401
        assert ask(first, bearer(lab, "first", profile="lab-dns")).status_code == 401  # known, but without an entry

    def test_an_access_entry_gives_what_its_policy_says(
        self, lab: RunningLab, clusters: dict[str, dict[str, Any]]
    ) -> None:
        eks, first = lab.boto3("eks"), clusters["first"]
        who = {"clusterName": "first", "principalArn": "arn:aws:iam::123456789012:user/lab-dns"}

        def seen(path: str = "/api/v1/namespaces/default/configmaps") -> int:
            return ask(first, bearer(lab, "first", profile="lab-dns"), path).status_code

        eks.create_access_entry(**who)
        # the API server remembers what a token was worth for a moment, and tokens of one second are equal
        wait_until(lambda: seen() == 403)
        policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
        eks.associate_access_policy(**who, policyArn=policy, accessScope={"type": "cluster"})
        wait_until(lambda: seen() == 200)
        token = bearer(lab, "first", profile="lab-dns")
        body = {"metadata": {"name": "x"}}
        refused = ask(first, token, "/api/v1/namespaces/default/configmaps", method="POST", json=body)
        assert refused.status_code == 403
        eks.delete_access_entry(**who)
        wait_until(lambda: seen("/api/v1/nodes") == 401)

    def test_a_node_group_changes_its_nodes(self, lab: RunningLab, clusters: dict[str, dict[str, Any]]) -> None:
        eks, second = lab.boto3("eks"), clusters["second"]
        token = bearer(lab, "second")
        handed_over = {"metadata": {"labels": {"meshctl.dev/pool": "serve"}}}
        kind = {"Content-Type": "application/merge-patch+json"}
        ask(second, token, "/api/v1/nodes/train-0", method="PATCH", json=handed_over, headers=kind)
        smaller = {"minSize": 0, "maxSize": 4, "desiredSize": 1}
        change(eks, clusterName="second", nodegroupName="train", scalingConfig=smaller)
        (node,) = ask(second, token).json()["items"]
        assert node["metadata"]["labels"]["meshctl.dev/pool"] == "serve"  # EKS doesn't put labels back
        change(eks, clusterName="second", nodegroupName="train", labels={"removeLabels": ["team"]})
        wait_until(lambda: "team" not in ask(second, token).json()["items"][0]["metadata"]["labels"])

    def test_no_capacity(self, lab: RunningLab, network: dict[str, Any], clusters: dict[str, dict[str, Any]]) -> None:
        eks, faults = lab.boto3("eks"), lab.lab.root / "faults.json"
        fault = {"operation": "CreateNodegroup", "error": "InsufficientInstanceCapacity", "async": True}
        faults.write_text(json.dumps([fault]))
        try:
            eks.create_nodegroup(
                clusterName="first",
                nodegroupName="serve",
                nodeRole=network["role"],
                subnets=network["subnets"],
                instanceTypes=["p5.48xlarge"],
                scalingConfig={"minSize": 0, "maxSize": 2, "desiredSize": 1},
            )
            names = {"clusterName": "first", "nodegroupName": "serve"}
            wait_until(lambda: eks.describe_nodegroup(**names)["nodegroup"]["status"] == "CREATE_FAILED")
            assert len(ask(clusters["first"], bearer(lab, "first")).json()["items"]) == 2
            eks.delete_nodegroup(**names)
            wait_until(lambda: eks.list_nodegroups(clusterName="first")["nodegroups"] == ["train"])
        finally:
            faults.unlink()


# ---- CoreWeave


def node_pool(name: str, **spec: Any) -> dict[str, Any]:
    kind = {"apiVersion": "compute.coreweave.com/v1alpha1", "kind": "NodePool", "metadata": {"name": name}}
    return {**kind, "spec": {"instanceType": "gd-8xh100ib-i128", "targetNodes": 2, **spec}}


def only(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The list once it has one element; nothing before."""
    return found if len(found) == 1 else []


def pod_phases(lab: RunningLab, labels: str) -> list[str]:
    return sorted(pod["status"]["phase"] for pod in get(lab, "cw", "pods", "-l", labels)["items"])


def pool_conditions(lab: RunningLab, name: str) -> dict[str, tuple[str, str]]:
    return conditions(get(lab, "cw", "nodepool", name))


class TestNodePools:
    def test_life(self, lab: RunningLab) -> None:
        taint = {"key": "meshctl.dev/pool", "value": "train", "effect": "NoSchedule"}
        apply(lab, "cw", node_pool("train", nodeLabels={"meshctl.dev/pool": "train"}, nodeTaints=[taint]))
        wait_until(lambda: pool_conditions(lab, "train").get("AtTarget") == ("True", "TargetMet"))
        select = ("-l", "compute.coreweave.com/node-pool=train")
        nodes = get(lab, "cw", "nodes", *select)["items"]
        assert len(nodes) == get(lab, "cw", "nodepool", "train")["status"]["currentNodes"] == 2
        labels = nodes[0]["metadata"]["labels"]
        assert (labels["node.coreweave.cloud/class"], labels["gpu.nvidia.com/class"]) == ("gpu", "H100")
        assert labels["backend.coreweave.cloud/flavor"] == "infiniband"
        assert nodes[0]["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        assert "rdma/ib" in nodes[0]["status"]["allocatable"]
        assert taint in nodes[0]["spec"]["taints"]
        apply(lab, "cw", node_pool("train", targetNodes=1))
        wait_until(lambda: len(get(lab, "cw", "nodes", *select)["items"]) == 1)
        lab.kubectl("cw", "delete", "nodepool", "train")
        wait_until(lambda: not get(lab, "cw", "nodes", *select)["items"])

    def test_a_node_is_drained_before_it_goes(self, lab: RunningLab) -> None:
        apply(lab, "cw", node_pool("drained"), deployment("web", gpus=8, replicas=2))
        wait_until(lambda: ready_replicas(lab, "cw", "web") == 2)
        apply(lab, "cw", node_pool("drained", targetNodes=1))
        wait_until(lambda: ready_replicas(lab, "cw", "web") == 1)
        # the pod that leaves counts no more, but is there until its node has let go of it
        wait_until(lambda: pod_phases(lab, "app=web") == ["Pending", "Running"])
        select = ("-l", "compute.coreweave.com/node-pool=drained")
        [left] = wait_until(lambda: only(get(lab, "cw", "nodes", *select)["items"]))
        pods = get(lab, "cw", "pods", "-l", "app=web")["items"]
        [running] = [pod for pod in pods if pod["status"]["phase"] == "Running"]
        assert running["spec"]["nodeName"] == left["metadata"]["name"]
        lab.kubectl("cw", "delete", "deployment/web", "nodepool/drained")

    def test_no_quota(self, lab: RunningLab) -> None:
        faults = lab.lab.root / "faults.json"
        faults.write_text(json.dumps([{"operation": "NodePool", "error": "NotSet", "message": "no quota"}]))
        try:
            apply(lab, "cw", node_pool("quota"))
            found = wait_until(lambda: pool_conditions(lab, "quota"))
            assert (found["Validated"], found["Quota"]) == (("True", "Valid"), ("False", "NotSet"))
            assert found["AtTarget"][0] == "False"
        finally:
            faults.unlink()
        wait_until(lambda: pool_conditions(lab, "quota")["AtTarget"][0] == "True")  # once there is quota, it fills
        lab.kubectl("cw", "delete", "nodepool", "quota")

    def test_an_invalid_pool(self, lab: RunningLab) -> None:
        apply(lab, "cw", node_pool("invalid", instanceType="no-such-type"))
        found = wait_until(lambda: pool_conditions(lab, "invalid"))
        assert found["Validated"] == ("False", "Invalid")
        lab.kubectl("cw", "delete", "nodepool", "invalid")


def deployment(name: str, *, gpus: int, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "main", "image": "registry.example/any", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def ready_replicas(lab: RunningLab, context: str, name: str) -> int:
    return int(get(lab, context, "deployment", name)["status"].get("readyReplicas", 0))


# ---- on-prem, storage


def test_the_nodes_of_the_on_prem_site_are_there_from_the_start(lab: RunningLab) -> None:
    nodes = get(lab, "dc1", "nodes")["items"]
    assert len(nodes) == 8
    with_gpus = [node for node in nodes if "nvidia.com/gpu" in node["status"]["allocatable"]]
    assert [node["status"]["allocatable"]["rdma/ib"] for node in with_gpus] == ["63"] * 6
    assert all(conditions(node)["Ready"][0] == "True" for node in nodes)


def claim(name: str, storage_class: str, size: str = "10Gi") -> dict[str, Any]:
    spec = {
        "storageClassName": storage_class,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def phase(lab: RunningLab, name: str) -> str:
    return str(get(lab, "dc1", "pvc", name)["status"]["phase"])


def test_claims(lab: RunningLab) -> None:
    apply(lab, "dc1", claim("shared", "nfs"), claim("late", "local-path"), claim("nothing", "no-such-class"))
    wait_until(lambda: phase(lab, "shared") == "Bound")
    volume = get(lab, "dc1", "pvc", "shared")["spec"]["volumeName"]
    folder = lab.lab.root / "volumes" / volume
    assert folder.is_dir()
    assert (phase(lab, "late"), phase(lab, "nothing")) == ("Pending", "Pending")
    mount = {"name": "data", "persistentVolumeClaim": {"claimName": "late"}}
    containers = [{"name": "main", "image": "registry.example/any"}]
    consumer = {"metadata": {"name": "consumer"}, "spec": {"containers": containers, "volumes": [mount]}}
    apply(lab, "dc1", {"apiVersion": "v1", "kind": "Pod", **consumer})
    wait_until(lambda: phase(lab, "late") == "Bound")
    lab.kubectl("dc1", "delete", "pod/consumer", "pvc/shared", "pvc/late", "pvc/nothing")
    wait_until(lambda: not get(lab, "dc1", "pv")["items"] and not folder.exists())


@pytest.mark.parametrize("profile", ["default", "coreweave", "dc1"])
def test_each_profile_reaches_an_object_store_of_its_own(lab: RunningLab, profile: str) -> None:
    s3, bucket = lab.boto3("s3", profile), f"lab-test-{profile}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=profile.encode())
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == profile.encode()
    assert [each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("lab-test-")] == [bucket]
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
