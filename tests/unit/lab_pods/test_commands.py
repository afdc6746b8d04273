"""What the lab plays of the programs in images of PyTorch and of inference servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.lab.images import commands
from meshctl.lab.images.inference import language_model


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ("git clone https://github.com/huggingface/trl", "trl"),
        ("git clone --depth 1 https://github.com/huggingface/trl.git there", "there"),
        ("python -m venv --system-site-packages training", "training/bin"),
        ("pip install trl>=0.20.0", ""),
        ("python3 -m pip install trl", ""),
        ("hf download org/m --local-dir models", "models"),
    ],
)
def test_nothing_is_fetched_and_a_script_goes_on(words: str, folder: str) -> None:
    assert commands.main(words.split()) == 0
    assert Path(folder).is_dir()
    if not folder:
        assert not list(Path.cwd().iterdir())


def test_a_download_is_the_labs_own_model_where_it_is_installed() -> None:
    assert commands.main(["hf", "download", "org/m", "--local-dir", "models"]) == 0
    assert Path("models/model.txt").read_text() == "org/m\n"
    assert bool(list(Path("models").glob("*.gguf"))) == (language_model.own_weights() is not None)


@pytest.mark.parametrize(
    ("words", "image", "started"),
    [
        ("python train.py", "nvcr.io/nvidia/pytorch:1", "launch train.py"),
        (
            "python -m torch.distributed.run --nnodes 2 x.py",
            "",
            "launch python -m torch.distributed.run --nnodes 2 x.py",
        ),
        ("torchrun x.py", "", "launch torchrun x.py"),
        ("python3 -m vllm.entrypoints.openai.api_server --port 1", "", "serve vllm --port 1"),
        ("python3 -m sglang.launch_server --model /m", "", "serve sglang --model /m"),
        ("vllm serve /m", "", "serve vllm serve /m"),
        ("python here.py", "nvcr.io/nvidia/pytorch:1", "become here.py"),
        ("python other.py", "vllm/vllm-openai:1", "become other.py"),
        ("python -c pass", "nvcr.io/nvidia/pytorch:1", "become -c pass"),
    ],
)
def test_a_program_of_the_image_is_played(
    words: str, image: str, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def call(what: str, words: list[str]) -> int:
        calls.append(" ".join([what, *words]))
        return 0

    monkeypatch.setenv("LAB_IMAGE", image)
    monkeypatch.setattr(commands, "_launch", lambda words: call("launch", words))
    monkeypatch.setattr(commands, "_serve", lambda name, words: call("serve", [name, *words]))
    monkeypatch.setattr(commands, "_become", lambda words: call("become", words[1:]))
    Path("here.py").touch()
    commands.main(words.split())
    assert calls == [started]
