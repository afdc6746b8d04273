"""AWS credentials for pods of an EKS cluster, where the lab's AWS API has a pod identity association for them. EDGE.

On AWS the EKS pod identity webhook injects them into the container's environment; here the runner does, and names the
lab's AWS API as the endpoint the same way.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from meshctl.lab.pods import api

ACCESS_KEY, SECRET_KEY = "LABPODIDENTITY000001", "lab"


def endpoint(root: Path) -> str:
    return f"http://127.0.0.1:{json.loads((root / 'lab.json').read_text())['ports']['aws']}"


async def variables(root: Path, cluster: api.Cluster, namespace: str, account: str) -> dict[str, str]:
    """AWS_* variables for a pod of this service account; {} outside EKS or without an association.

    Raises: BotoCoreError when the AWS API can't be reached.
    """
    if cluster.provider not in {"aws", "eks"}:
        return {}
    return await asyncio.to_thread(_variables, root, cluster, namespace, account)


def _variables(root: Path, cluster: api.Cluster, namespace: str, account: str) -> dict[str, str]:
    url = endpoint(root)
    config = Config(retries={"total_max_attempts": 2}, connect_timeout=2, read_timeout=5)
    session = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=cluster.region)
    client = session.client("eks", endpoint_url=url, config=config)
    try:
        clusters = client.list_clusters()["clusters"]
        for name in [cluster.name] if cluster.name in clusters else clusters:
            associations = client.list_pod_identity_associations(
                clusterName=name, namespace=namespace, serviceAccount=account
            )
            if associations["associations"]:
                return {
                    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                    "AWS_ENDPOINT_URL": url,
                    "AWS_REGION": cluster.region,
                    "AWS_DEFAULT_REGION": cluster.region,
                }
    except ClientError:  # the API has answered: there are no credentials for this pod
        return {}
    return {}
