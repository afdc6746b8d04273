"""The container images that the lab runs for real, and what runs in their place. PURE, but for what is installed.

Read by `meshctl.lab.pods` (what to start) and by the lab's set-up, which tells the simulator to leave such pods alone
(`JQ_ALL_KNOWN`).
"""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import PurePosixPath

from meshctl.lab.images import milvus_server, minilm, postgres_server, redis_server

MISSING_TAG = "does-not-exist"  # an image that can't be pulled, to try failures; a tag may end with it, too
MISSING = re.compile(f":[^:@/]*{MISSING_TAG}$")
WITHOUT_RDMA_READ = "LAB_EFA_WITHOUT_RDMA_READ"  # the variable that says so of the machine's EFA
SHELLS = {"sh", "bash", "dash"}


def _rag_is_installed() -> bool:
    return importlib.util.find_spec("langgraph") is not None and importlib.util.find_spec("pymilvus") is not None


@dataclass(frozen=True)
class Image:
    """`module`: a Python module that stands for the image, with `words` before its options; `program`: a real program
    on the pod's PATH instead; neither: it runs its command as it is. `commands`: programs of the image that the lab
    plays, in shells too (`images.commands`). In `pattern`, a `*` of the name stands for anything but a tag. `folder` is
    where it starts, and a volume of the image: empty at every start, unless the pod mounts something there.
    `is_tool`: the program is one of `meshctl.tools`. `tools`: those of them that are on the pod's PATH."""

    pattern: str
    module: str = ""
    program: str = ""
    is_tool: bool = False
    words: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    folder: str = ""
    tools: tuple[str, ...] = ()


FOLDER = "/opt/lab/bin"  # on the PATH of a pod whose image has commands
COMMANDS = "meshctl.lab.images.commands"
LAUNCHERS = ("torchrun", "accelerate")
_INSTALLERS = ("apt-get", "conda", "git", "hf", "huggingface-cli", "pip", "pip3", "uv")
_PYTHON = ("python", "python3")
_TORCH = (*LAUNCHERS, *_PYTHON, *_INSTALLERS)
_VLLM = ("vllm", *_PYTHON, *_INSTALLERS)
_NCCL_TESTS = ("mpirun", "ssh", "sshd", "ssh-keygen")
_DCGM = ("nv-hostengine", "dcgmi")
_INFERENCE = "meshctl.lab.images.openai_server"
_NIM = ("--lab-server", "nim")
_REDIS = "meshctl.lab.images.redis_server"
_OF_REDIS = (Image("redis:*", module=_REDIS, folder="/data"), Image("valkey/valkey:*", module=_REDIS, folder="/data"))
_OF_RAG = (Image("ghcr.io/meshctl/rag:*", commands=_PYTHON),)  # our own: what it runs is run
_OF_EMBEDDINGS = (
    Image("ghcr.io/huggingface/text-embeddings-inference:*", module="meshctl.lab.images.embedding_server"),
)
_OF_MILVUS = (Image("milvusdb/milvus:*", module="meshctl.lab.images.milvus_server", folder=milvus_server.FOLDER),)
_OF_POSTGRES = (
    Image("pgvector/pgvector:*", module="meshctl.lab.images.postgres_server", folder=postgres_server.FOLDER),
)
_OF_HELM = (Image("alpine/k8s:*", commands=("helm",), tools=("kubectl",)),)  # whose scripts need jq, too
KNOWN: tuple[Image, ...] = (
    Image("vllm/vllm-openai:*", module=_INFERENCE, commands=_VLLM),
    Image("ghcr.io/coreweave/ml-containers/vllm-tensorizer:*", module=_INFERENCE, commands=_VLLM),
    Image(
        "lmsysorg/sglang:*",
        module=_INFERENCE,
        words=("--lab-server", "sglang"),
        commands=("sglang", *_PYTHON, *_INSTALLERS),
    ),
    Image("ghcr.io/huggingface/text-generation-inference:*", module=_INFERENCE, words=("--lab-server", "tgi")),
    # the NIMs that write text; those that embed and rank are simulated
    Image("nvcr.io/nim/deepseek-ai/*:*", module=_INFERENCE, words=_NIM),
    Image("nvcr.io/nim/meta/*:*", module=_INFERENCE, words=_NIM),
    Image("nvcr.io/nim/mistralai/*:*", module=_INFERENCE, words=_NIM),
    Image("nvcr.io/nim/nvidia/llama-*-nemotron-*:*", module=_INFERENCE, words=_NIM),
    Image("nvcr.io/nim/openai/*:*", module=_INFERENCE, words=_NIM),
    Image("nvcr.io/nim/qwen/*:*", module=_INFERENCE, words=_NIM),
    Image("ghcr.io/acme/grpc-server:*", module="meshctl.lab.images.grpc_server"),
    Image("ghcr.io/acme/gang-server:*", module="meshctl.lab.images.gang_server"),
    Image("ghcr.io/acme/train:*", module="meshctl.lab.images.trainer", commands=_TORCH),
    Image("nvcr.io/nvidia/pytorch:*", commands=_TORCH),
    Image("pytorch/pytorch:*", commands=_TORCH),
    Image("nginxinc/nginx-unprivileged:*", module="meshctl.lab.images.gateway"),
    Image("public.ecr.aws/docker/library/python:*", module="meshctl.lab.images.python_script"),
    Image("rclone/rclone:*", program="rclone"),
    Image("ghcr.io/kastenhq/kubestr:*", commands=("fio",)),
    Image("ghcr.io/coreweave/nccl-tests:*", commands=_NCCL_TESTS),
    Image("public.ecr.aws/hpc-cloud/nccl-tests:*", commands=_NCCL_TESTS),
    Image("nvcr.io/nvidia/cloud-native/dcgm:*", commands=_DCGM),
    Image("registry.k8s.io/kubectl:*", program="kubectl", is_tool=True),
    *(_OF_REDIS if redis_server.find() else ()),
    *(_OF_EMBEDDINGS if minilm.is_installed() else ()),
    *(_OF_MILVUS if milvus_server.is_installed() else ()),
    *(_OF_POSTGRES if postgres_server.find() else ()),
    *(_OF_RAG if _rag_is_installed() else ()),
    *(_OF_HELM if shutil.which("jq") else ()),
)


def _expression(pattern: str) -> str:
    """A pattern's name for the simulator."""
    return re.escape(pattern.rpartition(":")[0]).replace(r"\*", "[^:@]*")


REGISTRY = re.compile(r"^((index\.)?docker\.io/)?(library/)?")
REGEX = (
    "^((docker|index\\.docker)\\.io/)?(library/)?("
    + "|".join(_expression(image.pattern) for image in KNOWN)
    + f")(:|@|$)|{MISSING.pattern}"
)
# For a kwok Stage selector: `key: JQ_ALL_KNOWN, operator: NotIn, values: ["true"]`. Of all containers, as the runner
# looks at them: a pod with one that the lab can't run is simulated as a whole.
JQ_ALL_KNOWN = (
    "[.spec.initContainers[]?, .spec.containers[]] | "
    f'map(.image | test("{REGEX.replace(chr(92), chr(92) * 2)}")) | all | tostring'
)


def runnable(image: str) -> Image | None:
    """How to run this image, or None when the lab only simulates it.

    The tag that stands for a missing image is runnable, too: its pull fails.
    """
    if not pullable(image):
        return Image(image)
    name = REGISTRY.sub("", image)
    name = name if ":" in name or "@" in name else f"{name}:latest"
    return next((each for each in KNOWN if fnmatch.fnmatchcase(name.replace("@", ":"), each.pattern)), None)


def pullable(image: str) -> bool:
    return MISSING.search(image) is None


def argv(image: Image, command: list[str], args: list[str], python: str) -> list[str]:
    """What to execute for a container of `image` with Kubernetes' `command` and `args`.

    The image's own files don't exist here, so an interpreter and a script that lead the command are replaced by the
    module that stands for them; a shell is run as it is.
    """
    words = [*command, *args]
    name = PurePosixPath(words[0]).name if words else ""
    if command and name in SHELLS:
        return words
    if image.program:
        given = command and name == image.program
        return words if command and not given else [image.program, *(words[1:] if given else words)]
    if name in image.commands and (name in LAUNCHERS or not image.module):
        return [python, "-m", COMMANDS, name, *words[1:]]
    if not image.module:
        return words or ["bash"]
    return [python, "-m", image.module, *image.words, *_options(command), *args]


def scripts(image: Image, python: str) -> dict[str, str]:
    """The image's `commands` as files of `FOLDER`: name -> text. `python` is the interpreter that runs the lab."""
    start = f'#!/bin/sh\nexec "{python}" -m {COMMANDS}'
    return {name: f'{start} {name} "$@"\n' for name in image.commands}


def _options(command: list[str]) -> list[str]:
    """A command without its interpreter, `-m module` and script."""
    rest = command[1:]
    while rest and (rest[0] in {"-u", "serve"} or rest[0].endswith(".py")):
        rest = rest[1:]
    return rest[2:] if rest[:1] == ["-m"] else rest
