"""The table of rules in `docs/lab.md` is the code's, and each rule is one that the API follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.lab.aws import rules

ROOT = Path(__file__).parents[3]
NAMES = {rule.id: name for name, rule in vars(rules).items() if isinstance(rule, rules.Rule)}


def documented() -> list[tuple[str, ...]]:
    lines = (ROOT / "docs" / "lab.md").read_text().splitlines()
    start = lines.index("| rule | call | refused, or failed a while later | source |") + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return rows


def test_the_documented_rules_are_those_of_the_code() -> None:
    assert documented() == [(f"`{rule.id}`", rule.calls, rule.refuses, rule.source) for rule in rules.ALL]


@pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.id)
def test_each_rule_is_followed_somewhere(rule: rules.Rule) -> None:
    sources = [path for path in (ROOT / "meshctl/lab/aws").rglob("*.py") if path.name != "rules.py"]
    assert any(f"rules.{NAMES[rule.id]}" in path.read_text() for path in sources)
