"""Tells the lab's EKS API server who a `k8s-aws-v1.` bearer token belongs to, as the AWS IAM authenticator does. EDGE.

Run by `controllers`, called by the kube-apiserver. A token is a pre-signed STS URL: it is accepted when its signature
is that of a key of the lab, it has not expired, it was signed for this cluster, and the cluster has an access entry for
the key's owner.
"""

from __future__ import annotations

import base64
import configparser
import datetime
import hmac
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from meshctl.eks_token import CLUSTER_HEADER, PREFIX
from meshctl.lab.environment import aws_folder
from meshctl.lab.state import Lab, read_json

TOLERANCE_S = 900  # the authenticator accepts a URL for a quarter of an hour after it was signed
ADMIN_POLICY = "AmazonEKSClusterAdminPolicy"
POLICY_GROUP = "lab:eks-access-policy:"  # + the policy's name: the group that `controllers.eks` binds its role to


class RefusedError(Exception):
    """Why a token is not accepted."""


def identify(lab: Lab, plane: str, token: str, now: datetime.datetime) -> dict[str, Any]:
    """`{"username": …, "groups": […]}` for a token shown to the control plane `plane`. Raises: RefusedError."""
    url = _url(token)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    access_key = query.get("X-Amz-Credential", "").split("/")[0]
    secret = _secrets(lab).get(access_key)
    if secret is None:
        raise RefusedError("the access key is not known")
    name, cluster = _cluster(lab, plane)
    signature = _signature(url, query, Credentials(access_key, secret), name)
    if not hmac.compare_digest(signature, query.get("X-Amz-Signature", "")):
        raise RefusedError("the signature is not right, or it is for another cluster")
    signed = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    if not -60 <= (now - signed).total_seconds() <= TOLERANCE_S:
        raise RefusedError("the token has expired")
    return _user(cluster, access_key)


def _url(token: str) -> str:
    try:
        text = token.removeprefix(PREFIX)
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError as error:
        raise RefusedError("not a k8s-aws-v1 token") from error


def _signature(url: str, query: dict[str, str], credentials: Credentials, cluster: str) -> str:
    """What the signature of this URL would be with the lab's own copy of the secret."""
    region = query["X-Amz-Credential"].split("/")[2]
    auth = SigV4QueryAuth(credentials, "sts", region, expires=int(query["X-Amz-Expires"]))
    parts = urlsplit(url)
    unsigned_query = "&".join(part for part in parts.query.split("&") if not part.startswith("X-Amz-Signature="))
    request = AWSRequest(
        method="GET", url=urlunsplit(parts._replace(query=unsigned_query)), headers={CLUSTER_HEADER: cluster}
    )
    request.context["timestamp"] = query["X-Amz-Date"]
    canonical = auth.canonical_request(request)
    return str(auth.signature(auth.string_to_sign(request, canonical), request))


def _secrets(lab: Lab) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(aws_folder(lab) / "credentials")
    return {parser[name]["aws_access_key_id"]: parser[name]["aws_secret_access_key"] for name in parser.sections()}


def _cluster(lab: Lab, plane: str) -> tuple[str, dict[str, Any]]:
    """The EKS cluster that runs on this control plane."""
    clusters: dict[str, dict[str, Any]] = read_json(lab.root / "eks.json").get("clusters") or {}
    for name, cluster in clusters.items():
        if cluster["control_plane"] == plane:
            return name, cluster
    raise RefusedError("no EKS cluster runs here")


def _user(cluster: dict[str, Any], access_key: str) -> dict[str, Any]:
    for entry in cluster["access"]:
        if entry["access_key"] == access_key:
            policies = [arn.rsplit("/", 1)[-1] for arn in entry["policies"]]
            groups = [f"{POLICY_GROUP}{policy}" for policy in policies]
            masters = ["system:masters"] if ADMIN_POLICY in policies else []
            return {"username": entry["username"], "groups": [*entry["groups"], *groups, *masters]}
    raise RefusedError("the cluster has no access entry for the key's owner")


class _Handler(BaseHTTPRequestHandler):
    lab: Lab

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        status: dict[str, Any]
        try:
            plane, now = urlsplit(self.path).path.rsplit("/", 1)[-1], datetime.datetime.now(datetime.UTC)
            user = identify(self.lab, plane, review["spec"]["token"], now)
            status = {"authenticated": True, "user": user}
        except (RefusedError, KeyError, IndexError, ValueError) as error:
            status = {"authenticated": False, "error": str(error)}
        body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Requests are not worth a line each."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # all API servers ask at once, and this process may not run for a while


def server(lab: Lab, port: int) -> ThreadingHTTPServer:
    """The webhook, bound and ready; the caller runs `serve_forever`."""
    return _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"lab": lab}))
