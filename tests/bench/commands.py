"""Rows `help`, `check` and `check-large`: the offline commands. EDGE."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.bench.samples import MESHCTL, PYTHON, Outcome, Samples, interleaved, run
from tests.bench.settings import EXAMPLE, Bench

HELP_S = 0.2
CHECK_S = 0.5
LARGE_S = 5.0
LARGE_MB = 500.0
INFEASIBLE = 65
CAN_CHECK = (0, INFEASIBLE)


def offline(bench: Bench) -> list[Outcome]:
    """`meshctl --help` and `check` of the example against an interpreter that does nothing, all in turns."""
    cpu: dict[str, list[float]] = {"bare": [], "help": [], "check": []}

    def seconds(name: str, *command: str) -> float:
        ended = run(command, cwd=EXAMPLE, env=bench.base_env)
        cpu[name].append(ended.cpu_s)
        return ended.seconds

    sides = {
        "bare": lambda: seconds("bare", *PYTHON, "-c", "pass"),
        "help": lambda: seconds("help", *MESHCTL, "--help"),
        "check": lambda: seconds("check", *MESHCTL, "check"),
    }
    found = interleaved(sides, 3 * bench.sizes.repetitions)
    bare = found["bare"]
    rows = (("help", "meshctl --help", HELP_S), ("check", "check of the example, 3 environments", CHECK_S))
    return [
        Outcome(
            what,
            f"< {goal} s",
            found[name].text(),
            f"python -c pass {bare.text(digits=3)}",
            found[name].median / bare.median,
            found[name].median < goal,
            f"CPU time {Samples(tuple(cpu[name])).text()}",
        )
        for name, what, goal in rows
    ]


def large(bench: Bench) -> list[Outcome]:
    """`check` of very many pools in very many environments, against a tenth of the environments."""
    pools, environments = bench.sizes.pools, bench.sizes.environments
    whole, tenth = bench.folder / "large", bench.folder / "large-tenth"
    write_mesh(whole, pools, environments)
    write_mesh(tenth, pools, max(1, environments // 10))
    peaks: list[float] = []
    cpu: list[float] = []

    def check(folder: Path) -> float:
        ended = run([*MESHCTL, "--output", "json", "check"], cwd=folder, env=bench.base_env, codes=CAN_CHECK)
        if folder == whole:
            peaks.append(ended.peak_mb)
            cpu.append(ended.cpu_s)
        return ended.seconds

    repetitions = max(2, bench.sizes.repetitions // 2)
    found = interleaved({"whole": lambda: check(whole), "tenth": lambda: check(tenth)}, repetitions, warm_up=False)
    peak = Samples(tuple(peaks))
    return [
        Outcome(
            f"check of {pools:,} pools x {environments} environments",
            f"< {LARGE_S:.0f} s, < {LARGE_MB:.0f} MB",
            f"{found['whole'].text()}, {peak.median:.0f} MB",
            f"{max(1, environments // 10)} environments {found['tenth'].text()}",
            found["whole"].median / found["tenth"].median,
            found["whole"].median < LARGE_S and peak.median < LARGE_MB,
            f"CPU time {Samples(tuple(cpu)).text()}",
        )
    ]


def write_mesh(folder: Path, pools: int, environments: int) -> None:
    """A mesh with GPU and general pools that AWS, CoreWeave and on-prem environments can carry."""
    folder.mkdir(parents=True, exist_ok=True)
    gpu = {"role": "inference", "nodes": 1, "accelerator": {"model": ["H100", "H200"], "count": 8}}
    general = {"role": "general", "nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}}
    mesh = {
        "apiVersion": "meshctl/v1",
        "kind": "Mesh",
        "name": "large",
        "pools": {f"pool-{number}": gpu if number % 2 else general for number in range(pools)},
    }
    kinds = (
        lambda number: {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]},
        lambda number: {"provider": "coreweave", "region": "US-EAST-04A", "kubernetes": {"context": f"cw-{number}"}},
        lambda number: {"provider": "onprem", "kubernetes": {"context": f"dc-{number}"}},
    )
    documents = {f"env-{number}": kinds[number % len(kinds)](number) for number in range(environments)}
    found = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": documents}
    (folder / "mesh.yaml").write_text(yaml.safe_dump(mesh))
    (folder / "environments.yaml").write_text(yaml.safe_dump(found))
