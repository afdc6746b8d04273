"""Row `scale`: how the time of `up` grows with the number of resources; state in files. EDGE."""

from __future__ import annotations

import itertools
import json
import shutil

from tests.bench import aws_api
from tests.bench.samples import PYTHON, Outcome, Samples, interleaved, run
from tests.bench.settings import Bench

GOAL = 12.0
_PREFIXES = itertools.count()


def scale(bench: Bench) -> list[Outcome]:
    large = bench.sizes.resources
    small = large // 10
    repetitions = max(1, bench.sizes.repetitions // 3)
    with aws_api.serving(bench.folder / "scale.log") as endpoint:
        sides = {
            "small": lambda: up(bench, "up", small, endpoint),
            "large": lambda: up(bench, "up", large, endpoint),
        }
        if bench.sizes.naive:
            sides |= {
                "naive small": lambda: up(bench, "naive", small, endpoint),
                "naive large": lambda: up(bench, "naive", large, endpoint),
            }
        found = interleaved(sides, repetitions, warm_up=False)
    ratio = found["large"].median / found["small"].median
    return [
        Outcome(
            f"up of {large:,} resources",
            f"≤ {GOAL:.0f} x that of {small}",
            found["large"].text(digits=1),
            f"{small} resources {found['small'].text(digits=1)}",
            ratio,
            ratio <= GOAL,
            _note(found),
        )
    ]


def _note(found: dict[str, Samples]) -> str:
    if "naive large" not in found:
        return ""
    large, small = found["naive large"], found["naive small"]
    ratio = large.median / small.median
    return f"plain Pulumi (naive): {large.text(digits=1)} against {small.text(digits=1)}, ratio {ratio:.2f}"


def up(bench: Bench, verb: str, count: int, endpoint: str) -> float:
    """Seconds of one `up` of a new stack. Raises: RuntimeError when the state does not hold every resource."""
    aws_api.reset(endpoint)
    prefix = f"s{next(_PREFIXES)}"
    folder = bench.folder / prefix
    folder.mkdir()
    command = [*PYTHON, "-m", "tests.bench.engine_run", verb, "roles", prefix, str(count), endpoint]
    ended = run(command, cwd=folder, env={**bench.base_env, **aws_api.KEYS})
    result = json.loads(ended.stdout.strip().splitlines()[-1])
    if result["resources"] != count:
        raise RuntimeError(f"{result['resources']} resources in the state, not {count}")
    shutil.rmtree(folder)
    bench.say(f"{verb} {count}: {result['seconds']:.1f} s")
    return float(result["seconds"])
