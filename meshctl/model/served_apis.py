"""APIs that only some clusters serve, and that meshctl makes use of where they are there: `group/version/Kind`. PURE.

Asked for by `meshctl.clients.clusters` (`Facts.served_apis`); `meshctl.resolve` decides by them.
"""

from __future__ import annotations

from typing import Final

# Prometheus operator: which pods are scraped
POD_MONITOR: Final = "monitoring.coreos.com/v1/PodMonitor"
# cert-manager: who makes certificates and renews them
CERTIFICATE: Final = "cert-manager.io/v1/Certificate"

ASKED_FOR: Final = (POD_MONITOR, CERTIFICATE)
