"""EKS access entries and the policies associated with them. Served through `Eks`. EDGE."""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import uuid
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks.state import AccessEntry, Base, Cluster, arn, now
from meshctl.lab.aws.errors import ApiError

POLICY_PREFIX = "arn:aws:eks::aws:cluster-access-policy/"
ADMIN_POLICY = f"{POLICY_PREFIX}AmazonEKSClusterAdminPolicy"
POLICIES = (
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSViewPolicy",
)


def new_entry(cluster: Cluster, principal_arn: str, given: dict[str, Any]) -> dict[str, Any]:
    name = cluster.described["name"]
    kind, _, short = principal_arn.rpartition(":")[2].partition("/")
    path = f"access-entry/{name}/{kind}/{DEFAULT_ACCOUNT_ID}/{short}/{uuid.uuid4()}"
    return {
        "clusterName": name,
        "principalArn": principal_arn,
        "kubernetesGroups": given.get("kubernetesGroups", []),
        "accessEntryArn": arn(cluster.region, path),
        "createdAt": now(),
        "modifiedAt": now(),
        "tags": given.get("tags", {}),
        "username": given.get("username", principal_arn),
        "type": given.get("type", "STANDARD"),
    }


def require_principal(who: str) -> None:
    """Raises: ApiError. Of another account nothing is known here."""
    if not who.startswith("arn:aws:iam::"):
        message = "The principalArn parameter format is not valid"
        raise ApiError("InvalidParameterException", message, rule=rules.ENTRY_PRINCIPAL)
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    is_of_account = who.startswith(f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:")
    if is_of_account and who not in {each.arn for each in (*iam.roles.values(), *iam.users.values())}:
        message = "The specified principalArn is invalid: invalid principal."
        raise ApiError("InvalidParameterException", message, rule=rules.ENTRY_PRINCIPAL)


class AccessEntries(Base):
    def create_access_entry(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self._with_entries(call, given["clusterName"])
        who = given["principalArn"]
        require_principal(who)
        if who in cluster.entries:
            raise ApiError(
                "ResourceInUseException",
                "The specified access entry resource is already in use on this cluster.",
                rule=rules.ENTRY_TAKEN,
            )
        if any(group.startswith("system:") for group in given.get("kubernetesGroups", [])):
            raise ApiError(
                "InvalidParameterException", "The kubernetes group name starts with a reserved prefix: system:"
            )
        entry = AccessEntry(new_entry(cluster, who, given))
        cluster.entries[who] = entry
        self.write()
        return {"accessEntry": entry.described}

    def describe_access_entry(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"accessEntry": self._entry(call, given).described}

    def list_access_entries(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self._with_entries(call, given["clusterName"])
        policy = given.get("associatedPolicyArn")
        return {
            "accessEntries": [
                who for who, entry in cluster.entries.items() if policy is None or policy in entry.policies
            ]
        }

    def update_access_entry(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(call, given)
        changed = {key: given[key] for key in ("kubernetesGroups", "username") if given.get(key) is not None}
        entry.described |= {**changed, "modifiedAt": now()}
        self.write()
        return {"accessEntry": entry.described}

    def delete_access_entry(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self._entry(call, given)
        cluster = self.clusters[given["clusterName"]]
        del cluster.entries[given["principalArn"]]
        if cluster.creator and cluster.creator.described["principalArn"] == given["principalArn"]:
            cluster.creator = None  # whoever deletes the creator's entry takes the access away
        self.write()
        return {}

    def associate_access_policy(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        entry, policy = self._entry(call, given), given["policyArn"]
        if policy.removeprefix(POLICY_PREFIX) not in POLICIES:
            raise ApiError("InvalidParameterException", "The specified policyArn is invalid: policy not found.")
        scope = {"namespaces": [], **given["accessScope"]}
        if (scope["type"] == "namespace") != bool(scope["namespaces"]):
            raise ApiError("InvalidParameterException", "The access scope and its namespaces don't fit each other.")
        first = entry.policies.get(policy, {}).get("associatedAt", now())
        association = {"policyArn": policy, "accessScope": scope, "associatedAt": first, "modifiedAt": now()}
        entry.policies[policy] = association
        self.write()
        return {
            "clusterName": given["clusterName"],
            "principalArn": given["principalArn"],
            "associatedAccessPolicy": association,
        }

    def list_associated_access_policies(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(call, given)
        return {
            "clusterName": given["clusterName"],
            "principalArn": given["principalArn"],
            "associatedAccessPolicies": list(entry.policies.values()),
        }

    def disassociate_access_policy(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(call, given)
        if entry.policies.pop(given["policyArn"], None) is None:
            raise ApiError("ResourceNotFoundException", "The specified policyArn is not associated with the entry.")
        self.write()
        return {}

    def list_access_policies(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"accessPolicies": [{"name": name, "arn": f"{POLICY_PREFIX}{name}"} for name in POLICIES]}

    def _with_entries(self, call: Call, name: str) -> Cluster:
        cluster = self.cluster(call, name)
        if cluster.described["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
            raise ApiError(
                "InvalidRequestException",
                "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP]",
            )
        return cluster

    def _entry(self, call: Call, given: dict[str, Any]) -> AccessEntry:
        cluster = self._with_entries(call, given["clusterName"])
        entry = cluster.entries.get(given["principalArn"])
        if entry is None:
            raise ApiError(
                "ResourceNotFoundException",
                f"The specified principalArn could not be found: {given['principalArn']}",
            )
        return entry
