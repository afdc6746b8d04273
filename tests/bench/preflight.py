"""Row `preflight`: a plan of an environment that is new, which asks AWS about it, against one that asks nothing. EDGE.

Without credentials a plan asks nothing and goes on: nothing of an environment that is not there has to be read.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.bench.samples import MESHCTL, Outcome, interleaved, run
from tests.bench.settings import EXAMPLE, Bench

GOAL = 1.3
_NOT_ASKED = "has the machines, quotas and reservations ("


def plan(bench: Bench) -> list[Outcome]:
    folder = bench.folder / "new-environment"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".meshctl"))
    empty = bench.folder / "no-credentials"
    empty.write_text("")
    asking = bench.lab_env
    files = dict.fromkeys(("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"), str(empty))
    sides = {
        "asking": lambda: _plan_s(folder, asking, asks=True),
        "without": lambda: _plan_s(folder, {**asking, **files}, asks=False),
    }
    samples = interleaved(sides, bench.sizes.repetitions)
    ratio = samples["asking"].median / samples["without"].median
    return [
        Outcome(
            "plan of the AWS example, new, with its questions to AWS",
            f"≤ {GOAL} x without",
            samples["asking"].text(),
            f"without credentials {samples['without'].text()}",
            ratio,
            ratio <= GOAL,
        )
    ]


def _plan_s(folder: Path, env: dict[str, str], *, asks: bool) -> float:
    ended = run([*MESHCTL, "--output", "json", "plan", "aws-east"], cwd=folder, env=env)
    document = json.loads(ended.stdout[ended.stdout.index("{") :])
    was_asked = not any(_NOT_ASKED in note for note in document["notes"])
    if was_asked != asks or not document["changes"]:
        raise RuntimeError(f"the plan is to be of a new environment that {asks=}: {document['notes']}")
    return ended.seconds
