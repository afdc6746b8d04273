"""What `status` says of pools that lend nodes: how much is lent, to whom, and what stays the pool's own. PURE.

Called by `status` with what `clients.queues.loans` has read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshctl.clients.queues.loans import Loan
from meshctl.model.deployment import Deployment
from meshctl.model.keys import lending
from meshctl.words import pluralize


@dataclass(frozen=True)
class LoanStatus:
    """Of one pool that lends. In accelerators: `own`, all of the pool, which it has whenever it needs them; `at_most`
    are lent at most, `lent` by now. `borrowers`: job -> how many it has. `unknown`: Kueue did not say."""

    pool: str
    own: int
    at_most: int
    lent: int
    borrowers: dict[str, int]
    unknown: bool = False

    def line(self, width: int) -> str:
        start = f"  lending   {self.pool:<{width}}  "
        if self.unknown:
            return f"{start}not known: Kueue is gone, or the Kubernetes user may not list its workloads"
        to_whom = ", ".join(f"{job} ({number})" for job, number in self.borrowers.items())
        lent = f"{self.lent} of up to {pluralize(self.at_most, 'accelerator')} lent"
        return f"{start}{lent}{f' to {to_whom}' if to_whom else ''}; all {self.own} are its own when it needs them"


def loan_statuses(deployment: Deployment, loans: Iterable[Loan] | None) -> tuple[LoanStatus, ...]:
    """`loans`: None where they are not known."""
    all_loans = list(loans or ())
    statuses = []
    for pool in deployment.pools:
        if pool.lends_nodes:
            borrowers: dict[str, int] = {}
            for loan in all_loans:
                if loan.lender == pool.name:
                    borrowers[loan.job] = borrowers.get(loan.job, 0) + loan.accelerators
            own, at_most = lending.devices(pool), lending.lent_devices(pool)
            lent = sum(borrowers.values())
            statuses.append(LoanStatus(pool.name, own, at_most, lent, borrowers, unknown=loans is None))
    return tuple(statuses)
