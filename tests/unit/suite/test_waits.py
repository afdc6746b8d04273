"""Every wait of the tests has an end of its own, so that what hangs is named where it hangs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("tests", "examples", "tools")
# What a call without its limit looks like; in brackets, from which number of arguments on the limit is among them.
PROGRAMS = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}
ARGUMENTS_WITH_LIMIT = {"urlopen": 3, "create_connection": 2, "communicate": 2, "wait": 1, "join": 1, "result": 1}
WITHOUT_LIMIT = {  # what is waited for ends by itself
    "both.wait",  # a barrier, which has its limit
    "server.stop(grace=0).wait",
}


def endless_waits(source: str) -> list[str]:
    """`LINE: CALL` of each wait for a process, a thread, an event or a server that is without a limit."""
    tree = ast.parse(source)
    in_wait_for = {id(inner) for call in ast.walk(tree) if is_limited_elsewhere(call) for inner in ast.walk(call)}
    return [
        f"{node.lineno}: {ast.unparse(node.func)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and id(node) not in in_wait_for and is_endless(node)
    ]


def is_limited_elsewhere(node: ast.AST) -> bool:
    """In `asyncio.wait_for`, or awaited: pytest's limit gets through to an event loop, and its tasks are named."""
    return isinstance(node, ast.Await)


def is_endless(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    keywords = {keyword.arg for keyword in call.keywords}
    if keywords & {"timeout", "timeout_s", "WaiterConfig", None} or name in WITHOUT_LIMIT:
        return False
    if name in PROGRAMS:
        return True
    method = name.rpartition(".")[2]
    return method in ARGUMENTS_WITH_LIMIT and len(call.args) < ARGUMENTS_WITH_LIMIT[method]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_wait_has_an_end(folder: str) -> None:
    waits = [
        f"{path.relative_to(ROOT)}:{wait}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "suite" not in path.parts  # which starts what hangs
        for wait in endless_waits(path.read_text())
    ]
    assert waits == []


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.run(command, check=True)",
        "process.wait()",
        "process.communicate(b'')",
        "urllib.request.urlopen(request)",
        "thread.join()",
        "each.join()",
        "future.result()",
    ],
)
def test_an_endless_wait_is_seen(source: str) -> None:
    assert endless_waits(source) == [f"1: {source.partition('(')[0]}"]


def test_a_wait_with_an_end_is_none() -> None:
    for source in ("subprocess.run(command, timeout=60)", "process.wait(30)", "' '.join(words)", "thread.join(30)"):
        assert endless_waits(source) == []
