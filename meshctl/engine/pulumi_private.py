"""The private names of Pulumi's SDK that meshctl uses, in one place. EDGE: runs the engine.

Used by `command` and `workspace`. Importing it makes the SDK run programs by `ClosingLanguageServer`.
`tests/unit/engine/test_pulumi_private.py` checks that the names exist and that nothing else in the product uses private
names. The SDK is pinned (pyproject.toml), so this test runs first against a new version. Also private, and overridden
in `command.PulumiProgram`: `PulumiCommand.__init__` sets `command` and `version` and does nothing else that is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from pulumi import automation
from pulumi.automation import _stack
from pulumi.automation._server import LanguageServer
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


class ClosingLanguageServer(LanguageServer):  # type: ignore[misc,unused-ignore]
    """Runs an inline program for the engine as the SDK does, and closes its event loop also if the engine ends first.

    The SDK (3.259.0, `automation/_server.py`) sends a last line of its log to the engine before it closes the loop. If
    the engine has ended, because of an interrupt or an error elsewhere, the line is an error, and the loop stays: with
    its selector, its sockets and its threads, for each run of a command that goes on.
    """

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802 (the protocol's word)
        program, loops = self.program, []

        def program_in_loop() -> Any:
            loops.append(asyncio.get_running_loop())
            return program()

        self.program = program_in_loop
        try:
            return super().Run(request, context)  # type: ignore[no-untyped-call]
        finally:
            self.program = program
            for loop in loops:
                _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop that no longer runs. What is left in it is cancelled first, as the SDK does before its own close."""
    if loop.is_closed():
        return
    try:
        loop.run_until_complete(_cancel(asyncio.all_tasks(loop)))
    finally:
        loop.close()


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    cancelled = [task for task in tasks if task.cancel()]
    await asyncio.gather(*cancelled, return_exceptions=True)


_stack.LanguageServer = ClosingLanguageServer  # type: ignore[misc,attr-defined,unused-ignore]
