"""Same input, same bytes: in one process, in another, and whatever else was resolved before."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.resolve import resolve

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"
PROGRAM = """
import sys
from pathlib import Path
from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.resolve import resolve
folder = Path(sys.argv[1])
mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
for name in sorted(environments.environments):
    print(resolve(mesh, environments, name, load_catalog()).model_dump_json())
"""


def test_another_process_gives_the_same_bytes() -> None:
    def run(seed: str) -> bytes:
        command = [sys.executable, "-c", PROGRAM, str(EXAMPLE)]
        done = subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": seed}, timeout=60)
        return done.stdout

    first = run("1")
    assert first.count(b"\n") == 3
    assert first == run("2")


def test_order_of_asking_does_not_matter() -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    names = list(environments.environments)
    expected = {name: resolve(mesh, environments, name, load_catalog()).model_dump_json() for name in names}
    for order in itertools.permutations(names):
        for name in order:
            assert resolve(mesh, environments, name, load_catalog()).model_dump_json() == expected[name]


def test_equal_deployments_have_equal_digests() -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    deployments = [resolve(mesh, environments, "aws-east", load_catalog()).deployment for _ in range(2)]
    assert deployments[0] is not None
    assert deployments[1] is not None
    assert deployments[0].digest == deployments[1].digest
    changed = mesh.model_copy(update={"name": "other"})
    other = resolve(changed, environments, "aws-east", load_catalog()).deployment
    assert other is not None
    assert other.digest != deployments[0].digest
