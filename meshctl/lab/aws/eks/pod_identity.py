"""EKS pod identity associations. Served through `Eks`; the pod runner asks for them. EDGE."""

from __future__ import annotations

import secrets
import string
from typing import Any

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks.clusters import require_role
from meshctl.lab.aws.eks.state import Base, arn, now
from meshctl.lab.aws.errors import ApiError

SUMMARY = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId")
CHANGEABLE = ("roleArn", "targetRoleArn", "disableSessionTags")
LETTERS = string.ascii_lowercase + string.digits


class PodIdentity(Base):
    def create_pod_identity_association(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.active(call, given["clusterName"])
        require_role(given["roleArn"])
        who = (given["namespace"], given["serviceAccount"])
        if who in {
            (association["namespace"], association["serviceAccount"]) for association in cluster.associations.values()
        }:
            raise ApiError(
                "ResourceInUseException",
                f"Association already exists: service account {who[1]} of namespace {who[0]}",
                clusterName=given["clusterName"],
            )
        id = "a-" + "".join(secrets.choice(LETTERS) for _ in range(17))  # noqa: A001
        association = {
            **{key: value for key, value in given.items() if key not in ("tags", "clientRequestToken")},
            "associationId": id,
            "associationArn": arn(call.region, f"podidentityassociation/{given['clusterName']}/{id}"),
            "tags": given.get("tags", {}),
            "createdAt": now(),
            "modifiedAt": now(),
        }
        cluster.associations[id] = association
        return {"association": association}

    def describe_pod_identity_association(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"association": self._association(call, given)}

    def list_pod_identity_associations(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.cluster(call, given["clusterName"])
        wanted = {key: given[key] for key in ("namespace", "serviceAccount") if key in given}
        return {
            "associations": [
                {key: association[key] for key in SUMMARY}
                for association in cluster.associations.values()
                if wanted.items() <= association.items()
            ]
        }

    def update_pod_identity_association(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        association = self._association(call, given)
        if "roleArn" in given:
            require_role(given["roleArn"])
        association |= {**{key: given[key] for key in CHANGEABLE if key in given}, "modifiedAt": now()}
        return {"association": association}

    def delete_pod_identity_association(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        association = self._association(call, given)
        del self.clusters[given["clusterName"]].associations[given["associationId"]]
        return {"association": association}

    def _association(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.cluster(call, given["clusterName"])
        association = cluster.associations.get(given["associationId"])
        if association is None:
            raise ApiError("ResourceNotFoundException", f"The association {given['associationId']} was not found")
        return association
