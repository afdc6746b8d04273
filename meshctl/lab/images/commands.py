"""The programs that images of inference servers and of PyTorch have, played by the lab. EDGE.

A pod finds them on its PATH, as scripts (`images.scripts`) that start this module with their own name. Launchers and
servers are those of the lab. What would be fetched from elsewhere is not: an installer says so, `git clone` makes an
empty folder, and `hf download` puts the lab's own language model there, where it is installed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from meshctl.lab import images
from meshctl.lab.images.gangs import gang_launch
from meshctl.lab.images.inference import language_model
from meshctl.lab.images.programs import dcgm, fio, nccl_tests

_SERVERS = {"vllm.entrypoints": "vllm", "sglang.launch_server": "sglang"}


def main(words: Sequence[str]) -> int:
    name, *rest = words
    if gang_launch.launcher_of(words):
        return _launch(words)
    if name == "fio":
        return fio.main(rest)
    if name in nccl_tests.PROGRAMS:
        return nccl_tests.main(name)
    if name in dcgm.PROGRAMS:
        return dcgm.main(words)
    if name in {"vllm", "sglang"}:
        return _serve(name, rest)
    if name.startswith("python"):
        return _python(rest)
    if name == "helm":
        from meshctl.lab.images.programs import helm  # takes the kinds of WEKA along

        return helm.main(rest)
    return _fetch(name, rest)


def _python(words: Sequence[str]) -> int:
    """The image's interpreter: its own modules are played, a script that is there is run by the lab's."""
    module = words[1] if words[:1] == ["-m"] and len(words) > 1 else ""
    server = next((name for prefix, name in _SERVERS.items() if module.startswith(prefix)), "")
    if server:
        return _serve(server, words[2:])
    if module == "venv":
        return _venv(Path(words[-1]))
    if module == "pip":
        return _fetch("pip", words[2:])
    if module.startswith("meshrag."):  # our own image listens everywhere, a pod of the lab at its own address
        os.environ["RAG_HOST"] = os.environ.get("POD_ADDRESS", "127.0.0.1")
    script = next((word for word in words[:2] if word.endswith(".py")), "")
    image = images.runnable(os.environ.get("LAB_IMAGE", ""))
    if script and not Path(script).exists() and image and "torchrun" in image.commands:
        return _launch(words)  # the image's own file
    return _become([sys.executable, *words])


def _launch(words: Sequence[str]) -> int:
    from meshctl.lab.images.gangs import gang_launcher  # takes the AWS SDK along: not for `python -c`

    return gang_launcher.main(words)


def _serve(server: str, words: Sequence[str]) -> NoReturn:
    from meshctl.lab.images import openai_server

    openai_server.main([openai_server.SERVER_OPTION, server, *words])


def _venv(folder: Path) -> int:
    """A folder that can be activated, and changes nothing: the image's programs stay those that are found."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin" / "activate").write_text("")
    return 0


def _fetch(name: str, words: Sequence[str]) -> int:
    """What would come from a registry, a hub or a repository. Nothing is fetched."""
    sys.stdout.write(f"the lab fetches nothing: {name} {' '.join(words)}\n")
    sys.stdout.flush()
    plain = [word for word in words if not word.startswith("-")]
    address = next((number for number, word in enumerate(words) if "://" in word or word.endswith(".git")), None)
    if name == "git" and plain[:1] == ["clone"] and address is not None:
        folder = words[address].rstrip("/").rpartition("/")[2].removesuffix(".git")
        Path(*words[address + 1 :][:1] or [folder]).mkdir(parents=True, exist_ok=True)
    if name in {"hf", "huggingface-cli"} and "--local-dir" in words[:-1]:
        _put_model(Path(words[words.index("--local-dir") + 1]), plain[1] if len(plain) > 1 else "")
    return 0


def _put_model(folder: Path, model: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.txt").write_text(f"{model}\n")  # something to read for a server without a language model
    weights = language_model.own_weights()
    if weights:
        shutil.copyfile(weights, folder / weights.name)


def _become(words: list[str]) -> NoReturn:
    os.execv(words[0], words)  # noqa: S606 (that is its purpose)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
