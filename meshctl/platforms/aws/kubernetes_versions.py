"""Which versions of Kubernetes EKS has, by a dated table. PURE.

Called by `words` for `check`; what EKS itself says is in `preflight.cluster_versions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshctl.platforms.aws import service_prices

# In standard support until 2027-03-27; 1.34 leaves it on 2026-12-02, and then costs six times as much an hour.
# Source: EKS version calendar (2026-04-24).
DEFAULT_EKS_VERSION: Final = "1.35"


def words(version: str) -> str:
    """What the table says of a version that environments.yaml names; "" where it need not say anything about it."""
    table = service_prices.kubernetes_versions()
    listed = newest_first(table.standard_support_ends)
    if version in table.standard_support_ends:
        if _number(version) >= _number(DEFAULT_EKS_VERSION):
            return ""
        end, last = table.standard_support_ends[version], table.extended_support_ends[version]
        return (
            f"Kubernetes {version}: its standard support on EKS {_ends(end, last, table.date)}, after which EKS makes"
            f" no clusters of it (as of {table.date}); without `kubernetes.version` it is {DEFAULT_EKS_VERSION}"
        )
    place = "is older than all" if _number(version) < _number(listed[-1]) else "is not among those"
    return (
        f"Kubernetes {version} {place} that EKS has as of {table.date} ({', '.join(listed)}): a new cluster of it may"
        " be refused, which `check --online`, `plan` and `up` ask EKS"
    )


def _ends(standard: str, extended: str, today: str) -> str:
    """ISO dates. `today`: that of the table, since `check` says the same on every day."""
    if standard < today:
        return f"ended on {standard}, and extended support {'ended' if extended < today else 'ends'} on {extended}"
    return f"ends on {standard}, and extended support on {extended}"


def newest_first(versions: Iterable[str]) -> list[str]:
    return sorted(versions, key=_number, reverse=True)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
