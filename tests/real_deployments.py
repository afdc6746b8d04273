"""The meshes of examples/real as tests see them: what of them each environment can't carry, and the values of their
secrets. For tests/unit/test_real_deployments.py and tests/faults/test_real_deployments.py."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples" / "real"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/mesh.yaml"))
ENVIRONMENTS = ("aws-east", "cw", "dc1")

# (mesh, environment) -> subjects of the gaps that `check` names. Everything else is carried.
GAPS = {
    ("rccl-tests", "aws-east"): ("pool/gpu",),  # no machine with MI300X
    ("rccl-tests", "cw"): ("pool/gpu",),
}

# Values for all secrets that the environments files name: variables, and files beside mesh.yaml.
SECRET_VARIABLES = {
    name: f"value of {name}" for name in ("HF_TOKEN", "MINIO_PASSWORD", "MINIO_USER", "NGC_API_KEY", "WANDB_API_KEY")
}
SECRET_FILES = {
    "mpi-key": "-----BEGIN OPENSSH PRIVATE KEY-----\nof a test\n-----END OPENSSH PRIVATE KEY-----\n",
    "ngc-docker-config.json": json.dumps({"auths": {"nvcr.io": {"auth": "JG9hdXRodG9rZW46a2V5"}}}),
    "tls.crt": "-----BEGIN CERTIFICATE-----\nof a test\n-----END CERTIFICATE-----\n",
    "tls.key": "-----BEGIN PRIVATE KEY-----\nof a test\n-----END PRIVATE KEY-----\n",
}


def carried() -> list[tuple[str, str]]:
    """(mesh, environment) where it comes up."""
    return [(name, environment) for name in NAMES for environment in ENVIRONMENTS if (name, environment) not in GAPS]
