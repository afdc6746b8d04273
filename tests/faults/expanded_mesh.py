"""A mesh that is expanded to a second environment, and how requests are sent to it."""

from __future__ import annotations

from tests.lab_fixture import RunningLab

HOST = "chat.example.com"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: spread
pools:
  web: {role: general, nodes: 1, cpu: {cores: 8}}
  other: {role: general, nodes: 1, cpu: {cores: 8}}
storage:
  weights: {kind: object, size: 1TiB}
workloads:
  chat:
    kind: inference
    pool: web
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models/llama]
    ports: {http: 8000}
    health: {port: http, path: /health}
    mounts: {weights: {path: /models, readOnly: true}}
  notes: {kind: service, pool: other, image: "ghcr.io/acme/notes:1", ports: {http: 80}}
endpoints:
  chat: {host: chat.example.com, workload: chat, port: http, access: public}
"""
EXPAND = ("expand", "dc1", "cw", "--workload", "chat", "--yes", "--observe", "2")


def bucket(here: RunningLab, environment: str) -> tuple[str, str]:
    """The profile of the environment's store, and the name of the bucket."""
    profile = {"cw": "coreweave", "dc1": "dc1"}[environment]
    buckets = here.boto3("s3", profile).list_buckets()["Buckets"]
    return profile, next(str(each["Name"]) for each in buckets if each["Name"].startswith(f"spread-{environment}"))


def put(here: RunningLab, environment: str, key: str) -> None:
    profile, name = bucket(here, environment)
    here.boto3("s3", profile).put_object(Bucket=name, Key=key, Body=b"x" * 9000)
