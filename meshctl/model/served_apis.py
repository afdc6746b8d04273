"""APIs that only some clusters serve, and that meshctl makes use of where they are there: `group/version/Kind`. PURE.

Asked for by `meshctl.clients.clusters` (`Facts.served_apis`); `meshctl.resolve` decides by them.
"""

from __future__ import annotations

from typing import Final

# Prometheus operator: which pods are scraped
POD_MONITOR: Final = "monitoring.coreos.com/v1/PodMonitor"

ASKED_FOR: Final = (POD_MONITOR,)
