"""Programs that don't run as the user that pods have without `user`: what is known of their images and commands. PURE.

Called by `workload_notes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from meshctl.model.deployment import Workload
from meshctl.model.pods import image_names

# Official images of Docker Hub that make a user of their own, to whom their folders belong: its number in the images
# that are built on Debian or Oracle Linux (github.com/docker-library, the Dockerfile of each); on Alpine it is another.
_OWN_USERS: Final = {"mariadb": 999, "mongo": 999, "mysql": 999, "postgres": 999, "rabbitmq": 999, "redis": 999}
# sshd starts sessions of other users (SETUID, SETGID, SYS_CHROOT), and ssh looks itself up in /etc/passwd
# ("No user exists for uid 1000"): what MPI launchers over ssh need.
_SSHD: Final = re.compile(r"(?<![\w.-])sshd(?![\w.-])")


def notes(workload: Workload) -> Iterator[str]:
    if workload.user is not None:
        return
    uid = _OWN_USERS.get(image_names.official_name(workload.image))
    if uid is not None:
        yield (
            f"workload/{workload.name}: the folders of the image {workload.image} belong to the image's own user, but"
            f" its pods run as another one, which can write only to mounts: write `user: {uid}` (another number in"
            " images on Alpine), or `user: image` to run as the user that the image names"
        )
    if any(_SSHD.search(text) for text in (*workload.command, *workload.args)):
        yield (
            f"workload/{workload.name}: its command starts sshd, which needs the rights of root and, as ssh does, an"
            " entry for its user in /etc/passwd; its pods have neither: write `user: root`"
        )
