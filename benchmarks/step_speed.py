"""What makes a training step of our network fast: layout, precision, compilation; and its floor.

    python benchmarks/step_speed.py [--threads 1] [--json step.json]

Clusters per second of one forward and backward pass of `icm-3band` on 64 random maps, no
preprocessing; and the share of the machine's rate of bfloat16 or float32 matrix products that the
convolutions' multiplications come to.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import nn

from icmass.networks import rqs_flow
from icmass.training.model_specs import MODEL_SPECS

N, SIDE = 64, 64


def rate(step, seconds: float = 4.0) -> float:  # type: ignore[no-untyped-def]
    for _ in range(3):
        step()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        n += 1
    return n / (time.perf_counter() - start)


def multiplications(network: nn.Module) -> float:
    """Multiply-adds of the convolutions of one cluster's forward pass."""
    total = 0.0

    def count(layer: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += layer.weight[0].numel() * output[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    network(torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, MODEL_SPECS["icm-3band"].n_scalars))
    for hook in hooks:
        hook.remove()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    design = MODEL_SPECS["icm-3band"]
    maps, scalars = torch.randn(N, 3, SIDE, SIDE), torch.randn(N, design.n_scalars)
    target = torch.randn(N)
    rows: dict[str, float] = {}

    def measure(name: str, *, last: bool, bf16: bool, compiled: bool) -> None:
        network = design.network(n_pixels=SIDE, n_channels=3)
        if not last:
            network.to(memory_format=torch.contiguous_format)
            contiguous = torch.Tensor.contiguous
            network.features.register_forward_pre_hook(lambda _, given: (contiguous(given[0]),))
        run = torch.compile(network) if compiled else network

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                output = run(maps, scalars)
            loss = -rqs_flow.log_prob(output.float(), target).mean()
            loss.backward()

        rows[name] = N * rate(step)
        print(f"{name:42} {rows[name]:7.0f} clusters/s", flush=True)

    measure("float32, channels first", last=False, bf16=False, compiled=False)
    measure("float32, channels last", last=True, bf16=False, compiled=False)
    measure("bfloat16, channels first", last=False, bf16=True, compiled=False)
    measure("bfloat16, channels last", last=True, bf16=True, compiled=False)
    try:
        measure("bfloat16, channels last, torch.compile", last=True, bf16=True, compiled=True)
    except Exception as error:
        print(f"torch.compile failed: {type(error).__name__}", flush=True)
    work = 3 * multiplications(design.network(n_pixels=SIDE, n_channels=3).eval())
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a = torch.randn(1024, 1024, dtype=dtype)
        peak = rate(lambda a=a: a @ a, 1.0) * 1024**3
        rows[f"floor, {name} products at full rate"] = peak / work
        print(f"{'floor, ' + name:42} {peak / work:7.0f} clusters/s", flush=True)
    if given.json:
        about = {"threads": given.threads, "torch": torch.__version__}
        given.json.write_text(json.dumps(about | {"clusters_per_second": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
