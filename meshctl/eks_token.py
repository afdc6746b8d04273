"""Bearer tokens for EKS API servers: a pre-signed STS URL, valid for a few minutes. EDGE (reads AWS credentials, sends
no request).

Called by `cli.eks_token`, the exec credential of every kubeconfig that meshctl writes for EKS. No `aws` program is
needed.
Source: "aws-iam-authenticator" README, section "API Authorization from Outside a Cluster"; `aws eks get-token` makes
the same.
"""

from __future__ import annotations

import base64
import datetime
from dataclasses import dataclass

import botocore.session
from botocore.signers import RequestSigner

from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest

PREFIX = "k8s-aws-v1."
CLUSTER_HEADER = "x-k8s-aws-id"
_URL_EXPIRES_S = 60  # the server checks this, and adds 15 minutes of its own
_TOKEN_LASTS = datetime.timedelta(minutes=14)


@dataclass(frozen=True)
class Token:
    """`expires` is UTC, as ExecCredential wants it."""

    text: str
    expires: str


def token(cluster: str, region: str, profile: str = "") -> Token:
    """A token for `cluster`. Raises: CredentialsError, UnreachableError (of a profile that asks for its
    credentials)."""
    request = AwsRequest("an EKS token", profile, "check the environment's `profile:`")
    with aws_errors.translate_errors(request):
        session = botocore.session.Session(profile=profile or None)
        credentials = session.get_credentials()
        if credentials is None:
            raise aws_errors.no_credentials(request)
        client = session.create_client("sts", region_name=region)
        signer = RequestSigner(
            client.meta.service_model.service_id,
            region,
            "sts",
            "v4",
            credentials,
            session.get_component("event_emitter"),
        )
        return _signed(cluster, region, str(client.meta.endpoint_url), signer)


def _signed(cluster: str, region: str, endpoint: str, signer: RequestSigner) -> Token:
    request = {
        "method": "GET",
        "url": f"{endpoint.rstrip('/')}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {CLUSTER_HEADER: cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(request, region_name=region, expires_in=_URL_EXPIRES_S, operation_name="")
    text = PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    expires = datetime.datetime.now(datetime.UTC) + _TOKEN_LASTS
    return Token(text, expires.strftime("%Y-%m-%dT%H:%M:%SZ"))
