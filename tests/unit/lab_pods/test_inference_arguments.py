"""The lab's inference server reads its command line and its environment as vLLM, SGLang, TGI and NIM do."""

from __future__ import annotations

import pytest

from meshctl.lab.images.inference.inference_arguments import NIM, SGLANG, TGI, VLLM, Server, read

NEMOTRON = "nvcr.io/nim/nvidia/llama-3.3-nemotron-super-49b-v1.5:1.14.0"


@pytest.mark.parametrize(
    ("server", "words", "variables", "model", "port", "is_local"),
    [
        (VLLM, "--model /m --port 8080 --tensor-parallel-size 8", {}, "/m", 8080, False),
        (VLLM, "--model=/m --host=0.0.0.0", {}, "/m", 8000, False),
        (VLLM, "serve deepseek-ai/DeepSeek-R1 --tensor-parallel-size=8", {}, "deepseek-ai/DeepSeek-R1", 8000, False),
        (VLLM, "--tensor-parallel-size 8", {}, "/models", 8000, False),
        (VLLM, "--trust-remote-code s3://b/m", {}, "s3://b/m", 8000, False),
        (VLLM, "/m --host 127.0.0.1", {}, "/m", 8000, True),
        (VLLM, "", {}, "/models", 8000, False),
        (SGLANG, "--model-path /m --host 0.0.0.0", {}, "/m", 30000, False),
        (SGLANG, "--model /m --port 8000", {}, "/m", 8000, True),
        (TGI, "--model-id org/m --hostname 0.0.0.0", {}, "org/m", 80, False),
        (TGI, "--port 3000", {"MODEL_ID": "/m", "PORT": "8080"}, "/m", 3000, False),
        (TGI, "", {"MODEL_ID": "/m", "PORT": "8080"}, "/m", 8080, False),
        (NIM, "", {}, "nvidia/llama-3.3-nemotron-super-49b-v1.5", 8000, False),
        (NIM, "", {"NIM_HTTP_API_PORT": "9000", "NIM_MODEL_NAME": "/m"}, "/m", 9000, False),
    ],
)
def test_each_server_is_told_its_model_and_port_in_its_own_way(
    server: Server, words: str, variables: dict[str, str], model: str, port: int, is_local: bool
) -> None:
    arguments = read(server, words.split(), variables, NEMOTRON if server is NIM else "vllm/vllm-openai:1")
    assert (arguments.model, arguments.port, arguments.is_local) == (model, port, is_local)


def test_a_model_has_its_own_name_or_those_that_it_is_given() -> None:
    assert read(VLLM, ["--model", "/m"], {}).names == ("/m",)
    assert read(VLLM, ["--served-model-name", "llama", "gpt", "--model", "/m"], {}).names == ("llama", "gpt")
    assert read(NIM, [], {"NIM_SERVED_MODEL_NAME": "a,b"}, NEMOTRON).names == ("a", "b")


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="http"):
        read(VLLM, ["--port", "http"], {})
