"""The mesh of the tutorial, and the weights that its model server reads."""

from __future__ import annotations

import os
from pathlib import Path

from tests.lab_fixture import RunningLab

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"


def upload_weights(here: RunningLab, environment: str, profile: str) -> None:
    client = here.boto3("s3", profile)
    names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    (bucket,) = [name for name in names if name.startswith(f"llm-prod-{environment}-weights")]
    client.put_object(Bucket=bucket, Key="llama/model.safetensors", Body=os.urandom(1 << 20))
