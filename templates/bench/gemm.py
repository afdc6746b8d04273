"""What `meshctl bench --what gpu` runs in an image of PyTorch: products of matrices, and copies of memory, on each GPU.

Prints one JSON object. Matrices of random numbers, as zeros would take less power and look faster. The shapes are those
that gave the most on A100, H100 and their like (stas00/ml-engineering, mamf-finder), and a large square.
"""

import json
import sys
import time

SHAPES = ((6912, 16384, 2048), (6144, 17920, 2816), (4096, 10240, 4864), (8192, 8192, 8192))
COPIED_BYTES = 2**30
SECONDS = 3.0


def per_second(torch, act, amount):
    """`amount` of one call, times the calls in a second, once the GPU is warm."""
    for _ in range(5):
        act()
    torch.cuda.synchronize()
    calls, begun = 0, time.monotonic()
    while time.monotonic() - begun < SECONDS:
        for _ in range(10):
            act()
        torch.cuda.synchronize()
        calls += 10
    return calls * amount / (time.monotonic() - begun)


def product_tflops(torch, device, m, n, k):
    left = torch.randn(m, k, dtype=torch.bfloat16, device=device)
    right = torch.randn(k, n, dtype=torch.bfloat16, device=device)
    out = torch.empty(m, n, dtype=torch.bfloat16, device=device)
    return per_second(torch, lambda: torch.mm(left, right, out=out), 2 * m * n * k) / 1e12


def copy_gbps(torch, device):
    """Bytes that are read and written."""
    source = torch.randint(0, 255, (COPIED_BYTES,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return per_second(torch, lambda: target.copy_(source), 2 * COPIED_BYTES) / 1e9


def measured(torch, number):
    device = f"cuda:{number}"
    with torch.cuda.device(number):
        return {
            "name": torch.cuda.get_device_name(number),
            "memory_gb": round(torch.cuda.get_device_properties(number).total_memory / 1e9, 1),
            "bf16_tflops": round(max(product_tflops(torch, device, *shape) for shape in SHAPES), 1),
            "copy_gbps": round(copy_gbps(torch, device), 1),
        }


def main():
    try:
        import torch
    except ImportError as error:
        sys.exit(f"no GPU here that could be measured: {error}")
    if not torch.cuda.is_available():
        sys.exit("no GPU here: CUDA finds none")
    accelerators = [measured(torch, number) for number in range(torch.cuda.device_count())]
    json.dump({"program": "meshctl gemm", "torch": torch.__version__, "accelerators": accelerators}, sys.stdout)


if __name__ == "__main__":
    main()
