"""What people write first who come from Kubernetes, SkyPilot, dstack and Compose: each gets a line with a way out.

`first_tries/mesh.yaml` has one of each. Beside "unknown key" there must be what to write instead, or that it isn't
there and why.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from meshctl.errors import Diagnostic, DiagnosticsError
from meshctl.load import load

HERE = Path(__file__).parent
ENVIRONMENTS = """
apiVersion: meshctl/v1
kind: Environments
environments: {cw: {provider: coreweave, region: US-EAST-04A}}
dns: {provider: route53, zone: example.com}
"""
FEWEST = 60  # of the 88 that there were, some keys have come to be
WAY_OUT = re.compile(
    r"; (write|say|list|declare|name|run|start|use|leave|instead of|for |each |it follows|labels of|a workload's pods"
    r"|a pool that may be empty|replicas that follow|the load balancer|not needed|not in this version)"
    r"|expected a mapping like \{|there is no file"
)


@pytest.fixture(scope="module")
def diagnostics(tmp_path_factory: pytest.TempPathFactory) -> list[Diagnostic]:
    folder = tmp_path_factory.mktemp("first_tries")
    shutil.copy(HERE / "first_tries/mesh.yaml", folder)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    with pytest.raises(DiagnosticsError) as refused:
        load(folder / "mesh.yaml", folder / "environments.yaml")
    return refused.value.diagnostics


def test_each_first_try_has_a_line_that_says_what_to_write(diagnostics: list[Diagnostic]) -> None:
    assert len(diagnostics) > FEWEST
    without = [f"{each.path}: {each.message}" for each in diagnostics if not _has_a_way_out(each.message)]
    assert without == []


def test_a_guess_that_misleads_is_not_made(diagnostics: list[Diagnostic]) -> None:
    assert [each.path for each in diagnostics if "did you mean" in each.message] == []


def _has_a_way_out(message: str) -> bool:
    """One message may tell of several keys."""
    unknown_keys = len(re.findall(r"unknown key", message))
    return len(WAY_OUT.findall(message)) >= max(unknown_keys, 1)
