"""Asks the user before data is lost. EDGE (the terminal).

Called by `up`, `destroy` and the commands of migrations, with the losses from `meshctl.changes.losses`: names, sizes,
and what the platform calls each of them. Without the user's agreement nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshctl.changes.losses import Loss
    from meshctl.cli.context import Context
    from meshctl.errors import ProtectedDataError

Refused = Callable[[str, Sequence["Loss"]], "ProtectedDataError"]


def ask(
    context: Context,
    environment: str,
    lost: Sequence[Loss],
    *,
    refused: Refused | None,
    confirm: str,
    warning: str = "",
    shown: bool = False,
) -> None:
    """Have the user type the environment's name before `lost` is lost; without a loss nothing is asked.

    `refused`: makes the error when the user has not allowed data loss; None when they have. `confirm`: the name from
    `--confirm`. `warning`: something else that is given up, about which the user is asked even if no data is lost.
    `shown`: the losses were already listed.

    Raises: ProtectedDataError, also when the name differs or there is no terminal to ask on.
    """
    if lost and refused is not None:
        raise refused(environment, lost)
    if not lost and not warning:
        return
    for loss in () if shown else lost:
        context.say(f"  DATA AT RISK: {loss.text()}")
    why = "; ".join([*([warning] if warning else []), *(loss.text() for loss in lost)])
    context.confirm_name(environment, confirm, warning or _question(lost), why=why)


def _question(lost: Sequence[Loss]) -> str:
    subjects = ", ".join(dict.fromkeys(loss.subject for loss in lost))
    return f"The data of {subjects} would be lost for good, or no longer be protected"


def document(lost: Sequence[Loss]) -> dict[str, object]:
    """The losses as JSON: the subjects, and each loss."""
    subjects = sorted({loss.subject for loss in lost})
    return {"data_deleted": subjects, "data_losses": [loss.document() for loss in lost]}
