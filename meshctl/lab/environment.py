"""The lab's AWS files and the variables that point the usual tools at it. EDGE.

Called by `up`; `exports` is what `meshctl lab env` prints. Endpoints are in the profiles, as they would be for any
S3-compatible store or private endpoint, so that nothing has to be told to the tools themselves.
"""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path

from meshctl.lab import stores
from meshctl.lab.network import dns_server
from meshctl.lab.pods import identity
from meshctl.lab.state import Lab, write_atomically

STORE_PROFILES = {"coreweave": ("cw", "US-EAST-04A"), "dc1": ("dc1", "us-east-1")}


def aws_folder(lab: Lab) -> Path:
    return lab.root / "aws"


def write_aws_files(lab: Lab, ports: dict[str, int]) -> None:
    """`<root>/aws/{config,credentials}`: profiles default (the AWS API), coreweave and dc1 (their object stores)."""
    key = secrets.token_hex(8).upper()
    credentials = [("default", f"AKIALAB{key[:13]}", secrets.token_hex(20))]
    credentials += [("lab-pod-identity", identity.ACCESS_KEY, identity.SECRET_KEY)]
    credentials += [("lab-dns", dns_server.ACCESS_KEY, dns_server.SECRET_KEY)]
    config = [_profile("default", "us-east-1", ports["aws"])]
    for profile, (store, region) in STORE_PROFILES.items():
        keys = stores.keys(lab.root, store)
        credentials.append((profile, keys.access_key, keys.secret_key))
        config.append(_profile(profile, region, ports[f"store_{store}"]))
    text = "\n".join(
        f"[{name}]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"
        for name, access, secret in credentials
    )
    write_atomically(aws_folder(lab) / "credentials", text, 0o600)
    write_atomically(aws_folder(lab) / "config", "\n".join(config))


def _profile(name: str, region: str, port: int) -> str:
    heading = "default" if name == "default" else f"profile {name}"
    return (
        f"[{heading}]\nregion = {region}\nendpoint_url = http://127.0.0.1:{port}\n"
        # bucket names as host names need a DNS that knows them
        "s3 =\n    addressing_style = path\n"
        "request_checksum_calculation = when_required\nresponse_checksum_validation = when_required\n"
    )


def variables(lab: Lab, folder: Path) -> dict[str, str]:
    """The variables for a mesh in `folder`. Both kubeconfigs: the lab's own, and the one that `meshctl up` writes."""
    own = folder / ".meshctl" / "kubeconfig"
    return {
        "AWS_CONFIG_FILE": str(aws_folder(lab) / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws_folder(lab) / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "KUBECONFIG": os.pathsep.join([str(lab.kubeconfig), str(own)]),
        "MESHCTL_DNS_SERVER": f"127.0.0.1:{lab.read()['ports']['dns']}",
        "MESHCTL_LAB_ROOT": str(lab.root),
    }


def exports(lab: Lab, folder: Path) -> str:
    """Lines for a shell: `eval "$(meshctl lab env)"`."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables(lab, folder).items()]
    return "\n".join(
        [*lines, "unset AWS_PROFILE AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN", ""]
    )
