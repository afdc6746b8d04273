"""The recorded calls, and a Deployment to play with: shared by the tests of the `kubernetes` stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).parent
FILES = sorted(path.stem for path in RECORDING.glob("*.jsonl"))


def recorded(stem: str, *methods: str) -> list[dict[str, Any]]:
    calls = [json.loads(line) for line in (RECORDING / f"{stem}.jsonl").read_text().splitlines()]
    return [call for call in calls if call["method"] in methods]


def deployment(space: str, image: str = "nginx:1", node: str | None = "gd-0", **more: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": image, "env": [{"name": "A", "value": "1"}]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "dep", "namespace": space, **more},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": pod | ({"nodeName": node} if node else {}),
            },
        },
    }
