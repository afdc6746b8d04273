"""`meshctl eks-token`: the exec credential of kubeconfigs for EKS. No logic: see `meshctl.eks_token`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer


def eks_token(
    cluster_name: Annotated[str, typer.Option("--cluster-name", help="Name of the EKS cluster.")],
    region: Annotated[str, typer.Option("--region", help="AWS region of the cluster.")] = "us-east-1",
    profile: Annotated[
        str, typer.Option("--profile", help="AWS profile.", show_default="the default credentials")
    ] = "",
) -> None:
    """Print a Kubernetes ExecCredential with a bearer token for an EKS cluster; kubectl calls this."""
    from meshctl.eks_token import token  # botocore: not for `meshctl --help`

    bearer = token(cluster_name, region, profile)
    document = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": {},
        "status": {"token": bearer.text, "expirationTimestamp": bearer.expires},
    }
    sys.stdout.write(json.dumps(document) + "\n")
