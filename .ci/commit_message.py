"""Refuses a commit message without a short subject, or without a body that says why. Run by pre-commit (`commit-msg`).

    python .ci/commit_message.py .git/COMMIT_EDITMSG

CONTRIBUTING.md asks for both. Messages that git writes itself, of merges and reverts, pass.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

MOST_CHARACTERS: Final = 72
_SCISSORS: Final = "# ------------------------ >8 ------------------------"
_OF_GIT: Final = ("Merge ", "Revert ", "fixup! ", "squash! ", "amend! ")


def problems(message: str) -> list[str]:
    """What is wrong with a message as it is in git's file, with its comments."""
    lines = message.partition(_SCISSORS)[0].splitlines()
    subject, *rest = [line.rstrip() for line in lines if not line.startswith("#")] or [""]
    if subject.startswith(_OF_GIT):
        return []
    mistakes = []
    if not subject:
        mistakes.append("the first line is empty: it says what is different after the commit")
    if len(subject) > MOST_CHARACTERS:
        mistakes.append(f"the subject has {len(subject)} characters, {MOST_CHARACTERS} are allowed")
    if rest and rest[0]:
        mistakes.append("the second line must be empty: it separates the subject from the body")
    if not any(rest):
        mistakes.append("there is no body: it says why, and what shows that it works")
    return mistakes


def main(arguments: list[str]) -> int:
    """0 where the message in the file is right, else 1, with a line for each problem on stderr."""
    lines = problems(Path(arguments[0]).read_text(encoding="utf-8"))
    for line in lines:
        sys.stderr.write(f"commit message: {line}\n")
    if lines:
        sys.stderr.write("hint: see CONTRIBUTING.md; the message is still in .git/COMMIT_EDITMSG\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
