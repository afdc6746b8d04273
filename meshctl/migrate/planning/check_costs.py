"""What the health checks of an expansion cost. PURE. Called by `expansion` for the plan."""

from __future__ import annotations

from typing import Final, NamedTuple

from meshctl.migrate.planning.plan import Cost
from meshctl.model.dns_splits import CHECK_INTERVAL_S, HealthCheck
from meshctl.platforms import registry


class CheckPrice(NamedTuple):
    """USD a month. `feature`: each of HTTPS, and of asking every 10 s in place of 30."""

    check: float
    feature: float


# aws.amazon.com/route53/pricing as of 2026-09-20, as transcribed by api-evangelist/amazon-route53-resolver
# (plans/amazon-route53-resolver-plans-pricing.yml): "Basic health checks" and "Optional health check features", of
# endpoints in AWS and elsewhere
_IN_AWS: Final = CheckPrice(0.50, 1.00)
_ELSEWHERE: Final = CheckPrice(0.75, 2.00)
_SOURCE: Final = "list prices of Route 53 of 2026-09-20; the first 50 checks of load balancers in AWS may be free"


def check_cost(checks: tuple[tuple[str, HealthCheck], ...]) -> Cost | None:
    """Of all checks together, each with the provider of its environment; None without any."""
    if not checks:
        return None
    usd = sum(_monthly_usd(provider, check) for provider, check in checks)
    plural = "s" if len(checks) > 1 else ""
    what = f"each month for {len(checks)} health check{plural} every {CHECK_INTERVAL_S} s, until `meshctl contract`"
    return Cost(subject="DNS", what=what, usd=round(usd, 2), source=_SOURCE)


def _monthly_usd(provider: str, check: HealthCheck) -> float:
    price = _IN_AWS if registry.platform(provider).load_balancers.checked_cheaper else _ELSEWHERE
    features = 1 + (check.type == "HTTPS")  # the short interval, which all have
    return price.check + features * price.feature
