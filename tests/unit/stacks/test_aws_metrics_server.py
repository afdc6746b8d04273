"""On AWS the cluster measures CPU only with an add-on, which comes where replicas follow it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Scale
from tests.unit.stacks.declared_on_aws import declared, example


@pytest.mark.parametrize(("metric", "comes"), [("cpu", True), ("queue-depth", False), (None, False)])
def test_metrics_server_comes_where_replicas_follow_cpu(metric: str | None, comes: bool) -> None:
    deployment = example()
    scale = Scale(metric=metric, target=70, cooldown_s=300) if metric else None
    update: dict[str, Any] = {"most_replicas": 6, "scale": scale}
    workloads = [each.model_copy(update=update) if each.name == "chat" else each for each in deployment.workloads]
    program = declared(deployment.model_copy(update={"workloads": tuple(workloads)}))
    assert ("cluster:addon-metrics-server" in program.types) is comes
