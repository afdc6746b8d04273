"""Runs all controllers until SIGTERM. EDGE."""

from __future__ import annotations

import asyncio
import sys
import threading

from meshctl.lab import daemon, token_webhook
from meshctl.lab.controllers import (
    cert_manager,
    cluster_autoscaler,
    coreweave,
    eks,
    eks_addons,
    huge_pages,
    kai,
    onprem,
    volumes,
    weka,
)
from meshctl.lab.pods import api
from meshctl.lab.state import READY_FOLDER, Lab, ready_files, write_atomically
from meshctl.lab.webhooks import group_controller, kueue_controller

PLATFORMS = {"eks": eks.play, "coreweave": coreweave.play, "onprem": onprem.play}
GIVEN = ("coreweave", "onprem")  # clusters that somebody has set up before


async def serve(lab: Lab) -> None:
    async def play(cluster: api.Cluster) -> None:
        ready, has_groups, has_kueue, has_kai = (lab.root / READY_FOLDER / name for name in ready_files(cluster.name))
        async with api.connect(cluster) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(PLATFORMS[cluster.provider](lab, cluster, client, lambda: write_atomically(ready, "")))
            tasks.create_task(volumes.play(lab, cluster, client))
            tasks.create_task(huge_pages.play(lab, cluster, client))
            tasks.create_task(weka.play(lab, cluster, client))
            if cluster.provider == "coreweave":
                tasks.create_task(cluster_autoscaler.play(lab, cluster, client))
            if cluster.provider == "eks":
                tasks.create_task(eks_addons.play(lab, cluster, client))
            if cluster.has_group_controller:
                run = group_controller.run(lab, cluster, client, lambda: write_atomically(has_groups, ""))
                tasks.create_task(run)
            if cluster.has_kueue:
                tasks.create_task(kueue_controller.run(lab, cluster, client, lambda: write_atomically(has_kueue, "")))
            if cluster.has_kai:
                tasks.create_task(kai.play(lab, cluster, client, lambda: write_atomically(has_kai, "")))
            if cluster.provider in GIVEN:
                tasks.create_task(cert_manager.play(lab, client))

    await daemon.until_ended(asyncio.ensure_future(api.follow_clusters(lab.root, play)))


def main() -> int:
    lab = Lab(daemon.root_of_arguments("meshctl.lab.controllers").absolute())
    webhook = token_webhook.server(lab, lab.read()["ports"]["webhook"])
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    asyncio.run(serve(lab))
    return 0


if __name__ == "__main__":
    sys.exit(main())
