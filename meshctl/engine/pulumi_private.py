"""What meshctl uses of Pulumi's SDK beyond its public interface, in one place. EDGE: runs the engine.

Used by `command` and `workspace`; `tests/unit/engine/test_pulumi_private.py` says that the names are still there and
that nothing else in the product reaches past the public interface. The SDK is pinned (pyproject.toml), so a new
version meets that test first. Also private, and overridden in `command.PulumiProgram`: `PulumiCommand.__init__` sets
`command` and `version` and does nothing else that is needed.
"""

from __future__ import annotations

from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import create_command_error

SELECT = StackInitMode.SELECT
"""How a stack of a class of our own is opened: `Stack.select` makes no subclasses."""


def command_error(result: automation.CommandResult) -> automation.CommandError:
    """The SDK's own class for what a failed command has printed: CommandError, StackNotFoundError and so on."""
    error: automation.CommandError = create_command_error(result)
    return error


def run_command(stack: automation.Stack, args: list[str]) -> automation.CommandResult:
    """One `pulumi` command on this stack, with the stack's name and environment. Raises: automation.CommandError."""
    return stack._run_pulumi_cmd_sync(args)
