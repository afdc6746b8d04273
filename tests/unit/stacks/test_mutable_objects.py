"""What pods read is updated in place: replaced, it would be missing while pods are started."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.deployments import deployment
from tests.unit.fields import effects


@pytest.mark.parametrize("environment", ["cw", "dc1"])
@pytest.mark.parametrize(("files", "mutable"), [({"/prompt.yaml": "be kind\n"}, "true"), ({}, None)])
def test_files_are_updated_in_place(environment: str, files: dict[str, str], mutable: str | None) -> None:
    """Without files the provider's inputs are what older versions gave: an upgrade changes nothing."""
    made = deployment(environment)
    workloads = tuple(each.model_copy(update={"files": files}) for each in made.workloads)
    declared: Any = effects.declared(made.model_copy(update={"workloads": workloads}))
    config = declared["kubernetes"][1]
    assert config["enableSecretMutable"] == "true"
    assert config.get("enableConfigMapMutable") == mutable
