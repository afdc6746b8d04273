"""The private names of Pulumi's SDK that meshctl uses, in one place. EDGE: runs the engine.

Used by `command` and `workspace`. `tests/unit/engine/test_pulumi_private.py` checks that the names exist and that
nothing else in the product uses private names. The SDK is pinned (pyproject.toml), so this test runs first against a
new version. Also private, and overridden in `command.PulumiProgram`: `PulumiCommand.__init__` sets
`command` and `version` and does nothing else that is needed.
"""

from __future__ import annotations

from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import create_command_error

SELECT = StackInitMode.SELECT
"""Opens a stack of a subclass, which `Stack.select` can't."""


def command_error(result: automation.CommandResult) -> automation.CommandError:
    """The SDK's error class for the output of a failed command: CommandError, StackNotFoundError and so on."""
    error: automation.CommandError = create_command_error(result)
    return error


def run_command(stack: automation.Stack, args: list[str]) -> automation.CommandResult:
    """One `pulumi` command on this stack, with the stack's name and environment. Raises: automation.CommandError."""
    return stack._run_pulumi_cmd_sync(args)
