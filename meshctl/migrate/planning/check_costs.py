"""What the health checks of an expansion cost at most. PURE. Called by `expansion` for the plan."""

from __future__ import annotations

from typing import Final

from meshctl.migrate.planning.plan import Cost
from meshctl.model.dns_splits import CHECK_INTERVAL_S, HealthCheck

# aws.amazon.com/route53/pricing as of 2026-09-20, as transcribed by api-evangelist/amazon-route53-resolver
# (plans/amazon-route53-resolver-plans-pricing.yml): "Basic health checks" and "Optional health check features" of
# endpoints outside of AWS, in USD a month. Features are HTTPS, and to ask every 10 s in place of 30. Of endpoints in
# AWS they are 0.50 and 1.00, and the first 50 checks are free: how many an account has is not known here.
_CHECK_USD: Final = 0.75
_FEATURE_USD: Final = 2.00
_SOURCE: Final = "list prices of Route 53 of 2026-09-20 for endpoints outside of AWS; those in AWS cost less or nothing"


def check_cost(checks: tuple[HealthCheck, ...]) -> Cost | None:
    """Of all checks together; None without any."""
    if not checks:
        return None
    usd = sum(_CHECK_USD + _FEATURE_USD * (1 + (check.type == "HTTPS")) for check in checks)
    plural = "s" if len(checks) > 1 else ""
    what = f"at most each month for {len(checks)} health check{plural} every {CHECK_INTERVAL_S} s"
    return Cost(subject="DNS", what=f"{what}, until `meshctl contract`", usd=round(usd, 2), source=_SOURCE)
