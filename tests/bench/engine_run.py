"""One run of our engine on an infrastructure of `tests.bench.infrastructure`, as a process of its own. EDGE.

    python -m tests.bench.engine_run {preview|up|naive} {roles|network_and_roles} PREFIX COUNT ENDPOINT

In the working folder, with the state beside it in files. `naive` is `up` by Pulumi's Automation API as it comes. Prints
the seconds that the run itself took and how many resources the state has then.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pulumi import automation

from meshctl.engine import workspace
from meshctl.engine.run import StackRun
from tests.bench import infrastructure

PROJECT = "bench"


def main() -> int:
    verb, layout, prefix, count, endpoint = sys.argv[1:]
    backend = workspace.Backend("file://./.meshctl/state", "passphrase", Path.cwd())

    def program() -> None:
        getattr(infrastructure, layout)(prefix, int(count), endpoint)

    opened = workspace.open_stack(backend, PROJECT, prefix, program, workspace.pulumi_program())
    run = StackRun(opened, workspace.pulumi_program())
    began = time.monotonic()
    if verb == "naive":
        naive(opened, prefix)
    else:
        getattr(run, verb)()
    seconds = time.monotonic() - began
    resources = run.state().resources if verb != "preview" else ()
    made = [resource for resource in resources if resource.type.startswith("meshaws:")]
    print(json.dumps({"seconds": seconds, "resources": len(made)}))
    return 0


def naive(opened: automation.Stack, prefix: str) -> None:
    """The same stack, run with the defaults of `pulumi up`."""
    plain = automation.LocalWorkspace(
        work_dir=opened.workspace.work_dir,
        program=opened.workspace.program,
        env_vars=opened.workspace.env_vars,
        secrets_provider=opened.workspace.secrets_provider,
        pulumi_command=opened.workspace.pulumi_command,
    )
    automation.Stack.create_or_select(prefix, plain).up()


if __name__ == "__main__":
    sys.exit(main())
