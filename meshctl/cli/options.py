"""Options that several commands have, with one meaning and one help text."""

from __future__ import annotations

from typing import Annotated

import typer

BreakLock = Annotated[bool, typer.Option("--break-lock", help="Break the lock of a run that is gone for good.")]
TakeOver = Annotated[
    list[str] | None,
    typer.Option(
        "--take-over",
        help="Set this field, or all fields of this subject, although another program owns it. May be repeated.",
        metavar="SUBJECT[:FIELD]",
    ),
]
RefreshImages = Annotated[
    bool,
    typer.Option(
        "--refresh-images", help="Move nodes to the newest release of their image, and add-ons to theirs: see `plan`."
    ),
]
