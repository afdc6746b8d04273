"""The container images that the lab runs for real, and what runs in their place. PURE.

Read by `meshctl.lab.pods` (what to start) and by the lab's set-up, which tells the simulator to leave such pods alone
(`JQ_ALL_KNOWN`).
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

MISSING_TAG = "does-not-exist"  # an image that can't be pulled, to try failures
SHELLS = {"sh", "bash", "dash"}


@dataclass(frozen=True)
class Image:
    """`module`: a Python module that stands for the image; `program`: a real program on the pod's PATH instead."""

    pattern: str
    module: str = ""
    program: str = ""


KNOWN: tuple[Image, ...] = (
    Image("vllm/vllm-openai:*", module="meshctl.lab.images.openai_server"),
    Image("ghcr.io/acme/grpc-server:*", module="meshctl.lab.images.grpc_server"),
    Image("ghcr.io/acme/gang-server:*", module="meshctl.lab.images.gang_server"),
    Image("ghcr.io/acme/train:*", module="meshctl.lab.images.trainer"),
    Image("nginxinc/nginx-unprivileged:*", module="meshctl.lab.images.gateway"),
    Image("rclone/rclone:*", program="rclone"),
)

REGISTRY = re.compile(r"^(docker\.io/|index\.docker\.io/)")
REGEX = (
    "^((docker|index\\.docker)\\.io/)?("
    + "|".join(re.escape(image.pattern.split(":")[0]) for image in KNOWN)
    + f")(:|@|$)|:{MISSING_TAG}$"
)
# For a kwok Stage selector: `key: JQ_ALL_KNOWN, operator: NotIn, values: ["true"]`
JQ_ALL_KNOWN = f'.spec.containers | map(.image | test("{REGEX.replace(chr(92), chr(92) * 2)}")) | all | tostring'


def runnable(image: str) -> Image | None:
    """How to run this image, or None when the lab only simulates it.

    The tag that stands for a missing image is runnable, too: its pull fails.
    """
    if image.endswith(f":{MISSING_TAG}"):
        return Image(image)
    name = REGISTRY.sub("", image)
    name = name if ":" in name or "@" in name else f"{name}:latest"
    return next((each for each in KNOWN if fnmatch.fnmatchcase(name.replace("@", ":"), each.pattern)), None)


def pullable(image: str) -> bool:
    return not image.endswith(f":{MISSING_TAG}")


def argv(image: Image, command: list[str], args: list[str], python: str) -> list[str]:
    """What to execute for a container of `image` with Kubernetes' `command` and `args`.

    The image's own files don't exist here, so an interpreter and a script that lead the command are replaced by the
    module that stands for them; a shell is run as it is.
    """
    words = [*command, *args]
    if command and PurePosixPath(command[0]).name in SHELLS:
        return words
    if image.program:
        given = command and PurePosixPath(command[0]).name == image.program
        return words if command and not given else [image.program, *(words[1:] if given else words)]
    return [python, "-m", image.module, *(_options(command) + args)]


def _options(command: list[str]) -> list[str]:
    """A command without its interpreter, `-m module` and script."""
    rest = command[1:]
    while rest and (rest[0] in {"-u", "serve"} or rest[0].endswith(".py")):
        rest = rest[1:]
    return rest[2:] if rest[:1] == ["-m"] else rest
