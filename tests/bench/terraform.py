"""Row `terraform`: the same infrastructure by our engine and by Terraform, on the same server. EDGE."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from tests.bench import aws_api, infrastructure
from tests.bench.samples import PYTHON, NotMeasured, Outcome, Samples, run
from tests.bench.settings import Bench

COUNT = 60
PLAN_GOAL = 1 / 4
UP_GOAL = 1 / 2


def terraform(bench: Bench) -> list[Outcome]:
    program = shutil.which("terraform")
    if program is None:
        raise NotMeasured("terraform is not installed")
    times: dict[str, list[float]] = {name: [] for name in ("our up", "our plan", "apply", "terraform plan")}
    with aws_api.serving(bench.folder / "terraform.log") as endpoint:
        pristine = initialised(bench, program, endpoint)
        for number in range(bench.sizes.repetitions):
            aws_api.reset(endpoint)
            ours(bench, f"t{number}", endpoint, times)
            aws_api.reset(endpoint)
            theirs(bench, program, pristine, number, times)
    found = {name: Samples(tuple(values)) for name, values in times.items()}
    rows = (("plan", "our plan", "terraform plan", PLAN_GOAL), ("up", "our up", "apply", UP_GOAL))
    return [
        Outcome(
            f"{verb}, {COUNT} AWS resources",
            f"≤ {goal} of terraform",
            found[mine].text(),
            f"terraform {verb if verb == 'plan' else 'apply'} {found[other].text()}",
            found[mine].median / found[other].median,
            found[mine].median / found[other].median <= goal,
        )
        for verb, mine, other, goal in rows
    ]


def initialised(bench: Bench, program: str, endpoint: str) -> Path:
    """A folder after `terraform init`. Raises: NotMeasured when its AWS provider can't be had."""
    folder = bench.folder / "terraform"
    folder.mkdir()
    configuration = infrastructure.terraform("tf", COUNT, endpoint)
    (folder / "main.tf.json").write_text(json.dumps(configuration))
    plugins = bench.sizes.terraform_plugins
    command = [program, "init", "-input=false", "-no-color", *([f"-plugin-dir={plugins}"] if plugins else [])]
    try:
        run(command, cwd=folder, env=environment(bench))
    except RuntimeError as error:
        lines = [line.strip("│ ") for line in str(error).splitlines() if "Error" in line]
        raise NotMeasured(f"`terraform init` failed ({'; '.join(lines[:1])}); see --terraform-plugins") from error
    return folder


def environment(bench: Bench) -> dict[str, str]:
    """Terraform's own settings stay the user's, unless they name a file that is not there."""
    found = {**bench.base_env, **aws_api.KEYS, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    if not Path(os.environ.get("TF_CLI_CONFIG_FILE", "/")).exists():
        del found["TF_CLI_CONFIG_FILE"]
    return found


def ours(bench: Bench, prefix: str, endpoint: str, times: dict[str, list[float]]) -> None:
    folder = bench.folder / prefix
    folder.mkdir()
    env = {**bench.base_env, **aws_api.KEYS}
    for name, verb in (("our up", "up"), ("our plan", "preview")):
        command = [*PYTHON, "-m", "tests.bench.engine_run", verb, "network_and_roles", prefix, str(COUNT), endpoint]
        ended = run(command, cwd=folder, env=env)
        times[name].append(ended.seconds)


def theirs(bench: Bench, program: str, pristine: Path, number: int, times: dict[str, list[float]]) -> None:
    folder = bench.folder / f"terraform-{number}"
    shutil.copytree(pristine, folder, symlinks=True)
    env = environment(bench)
    began = time.monotonic()
    run([program, "apply", "-auto-approve", "-input=false", "-no-color"], cwd=folder, env=env)
    times["apply"].append(time.monotonic() - began)
    ended = run([program, "plan", "-input=false", "-no-color"], cwd=folder, env=env)
    if "No changes" not in ended.stdout:
        raise RuntimeError(f"terraform's second plan is to have no changes:\n{ended.stdout[-2000:]}")
    times["terraform plan"].append(ended.seconds)
