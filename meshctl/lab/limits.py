"""How many files and connections a process of the lab may have open. EDGE: changes the calling process.

Called at their start by those that hold connections for others: load balancers, the pod runner and its pods, the load.
On a busy machine connections last long, and many are open at once.
"""

from __future__ import annotations

import resource

ENOUGH = 65536


def raise_open_files() -> None:
    """As many as this user may have, up to `ENOUGH`; the usual limit of 1024 is for programs that know no more."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if usual != resource.RLIM_INFINITY and usual < ENOUGH:
        wanted = ENOUGH if most == resource.RLIM_INFINITY else min(most, ENOUGH)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(usual, wanted), most))
