"""The endpoint that an AWS profile names is held to the same rules as one of environments.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import UsageError
from meshctl.objects import object_access
from tests.unit.deployments import deployment


@pytest.mark.parametrize("endpoint", ["https://user:pw@store.example", "https://store.example/#", "store.example"])
def test_an_endpoint_of_a_profile_is_a_host_and_a_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    config = tmp_path / "config"
    config.write_text(f"[profile dc1]\nendpoint_url = {endpoint}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    stores = tuple(store.model_copy(update={"profile": "dc1", "endpoint": ""}) for store in deployment().object_stores)
    assert stores
    with pytest.raises(UsageError, match="no usable endpoint") as refused:
        object_access.with_endpoints(deployment().model_copy(update={"object_stores": stores, "provider": "onprem"}))
    assert 'of the AWS profile "dc1"' in refused.value.why
    assert "pw" not in refused.value.why
