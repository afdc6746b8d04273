"""`python -m tests.bench` (`nox -s bench`): measures every row of docs/benchmarks.md and prints one table. EDGE.

Ends with 0 also when a goal is missed, which the table says; `--check` makes that 1.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import commands, cutover, lab_start, plans, preflight, scale, sync, table, terraform
from tests.bench.samples import NotMeasured, Outcome, machine
from tests.bench.settings import FULL, QUICK, Bench, Sizes, opened

ROWS: dict[str, Callable[[Bench], list[Outcome]]] = {
    "offline": commands.offline,
    "check-large": commands.large,
    "sync": sync.sync,
    "scale": scale.scale,
    "terraform": terraform.terraform,
    "plan": plans.plan,
    "preflight": preflight.plan,
    "cutover": cutover.cutover,
    "lab": lab_start.lab_start,
}


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _end)
    names = options.only or list(ROWS)
    outcomes: list[Outcome] = []
    with opened(_sizes(options)) as bench:
        for name in names:
            bench.say(f"row {name}")
            outcomes += measured(name, bench)
    render = table.document if options.output == "json" else table.text
    print(render(outcomes, machine()))
    return 1 if options.check and any(outcome.holds is False for outcome in outcomes) else 0


def _end(*_: object) -> None:
    """Leave by way of every `finally`, so that no lab stays behind; a second signal does not cut that short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def measured(name: str, bench: Bench) -> list[Outcome]:
    """The row's outcomes. A row that breaks is a row missed: the others are measured all the same."""
    try:
        return ROWS[name](bench)
    except NotMeasured as reason:
        return [Outcome(name, "", "", note=f"not measured: {reason}")]
    except Exception as error:
        traceback.print_exc()
        lines = str(error).splitlines() or [repr(error)]
        return [Outcome(name, "", "failed", holds=False, note=f"{type(error).__name__}: {lines[0]}")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(ROWS), help="just this row; may be given again")
    parser.add_argument("--quick", action="store_true", help="small sizes; no cutover")
    parser.add_argument("--output", choices=("human", "json"), default="human")
    parser.add_argument("--check", action="store_true", help="end with 1 when a goal is missed")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--resources", type=int, help="the larger stack of the row scale; the smaller is a tenth")
    parser.add_argument(
        "--no-naive", dest="naive", action="store_false", default=None, help="leave plain Pulumi out of scale"
    )
    parser.add_argument("--pools", type=int)
    parser.add_argument("--environments", type=int)
    parser.add_argument("--sync-mib", type=int)
    parser.add_argument("--rate", type=int, help="requests per second of the row cutover")
    parser.add_argument("--lab-starts", type=int)
    parser.add_argument("--terraform-plugins", type=Path, help="folder for `terraform init -plugin-dir`")
    return parser.parse_args()


def _sizes(options: argparse.Namespace) -> Sizes:
    base = QUICK if options.quick else FULL
    names: Sequence[str] = list(Sizes.__dataclass_fields__)
    given = {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}
    if options.only and "cutover" in options.only:
        given["cutover"] = True
    return replace(base, **given)


if __name__ == "__main__":
    sys.exit(main())
