"""What makes a training step on a CPU fast: memory, layout, precision, compilation; the floor.

    python benchmarks/step_speed.py [--threads 1] [--json results/step-speed.json]

Clusters per second of one forward and backward pass of `icm-3band` on 64 random maps and of
`paper-1band` on 50, no preprocessing; and the machine's rate of float32 or bfloat16 matrix products
over the multiplications of the convolutions.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from icmass import __version__
from icmass.networks import rqs_flow
from icmass.training.devices import multiplies_bf16
from icmass.training.freed_memory import keep_freed_memory
from icmass.training.model_specs import MODEL_SPECS

SHAPES = {"icm-3band": (64, 3, 64), "paper-1band": (50, 1, 128)}
"""Clusters, channels and pixels a side."""


def rate(step: Callable[[], object], seconds: float = 4.0) -> float:
    for _ in range(3):
        step()
    start, n = time.process_time(), 0
    while time.process_time() - start < seconds:
        step()
        n += 1
    return n / (time.process_time() - start)


def network_of(model: str) -> nn.Module:
    _, channels, side = SHAPES[model]
    return MODEL_SPECS[model].network(n_pixels=side, n_channels=channels)


def multiplications(model: str) -> float:
    """Multiply-adds of the convolutions of one cluster's forward pass."""
    total = 0.0

    def count(layer: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += layer.weight[0].numel() * output[0].numel()

    network, (_, channels, side) = network_of(model).eval(), SHAPES[model]
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, channels, side, side), torch.zeros(1, MODEL_SPECS[model].n_scalars))
    return total


def passes(model: str, *, last: bool = True, bf16: bool = False, compiled: bool = False) -> float:
    """Return the clusters a second that go forward and backward."""
    n, channels, side = SHAPES[model]
    design, network = MODEL_SPECS[model], network_of(model)
    maps, scalars, target = (torch.randn(*s) for s in ((n, channels, side, side),
                             (n, design.n_scalars), (n,)))  # fmt: skip
    if not last:
        contiguous = torch.Tensor.contiguous
        network.features.register_forward_pre_hook(lambda _, given: (contiguous(given[0]),))
    run = torch.compile(network) if compiled else network

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = run(maps, scalars).float()
        if design.has_posterior:
            loss = -rqs_flow.log_prob(output, target).mean()
        else:
            loss = (output[:, 0] - target).square().mean()
        loss.backward()

    return n * rate(step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows: dict[str, dict[str, float]] = {model: {} for model in SHAPES}

    def measure(name: str, **how: bool) -> None:
        for model, found in rows.items():
            found[name] = passes(model, **how)
            print(f"{model:12} {name:42} {found[name]:7.0f} clusters/s", flush=True)

    measure("float32, channels last, freed memory given back")
    kept = keep_freed_memory()
    measure("float32, channels last")
    measure("float32, channels first", last=False)
    if multiplies_bf16(on_cpu=True):
        measure("bfloat16, channels last", bf16=True)
        measure("bfloat16, channels first", last=False, bf16=True)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        if dtype is torch.bfloat16 and not multiplies_bf16(on_cpu=True):
            continue
        a = torch.randn(1024, 1024, dtype=dtype)
        peak = rate(lambda a=a: a @ a, 1.0) * 1024**3
        for model, found in rows.items():
            found[f"floor: {name} products at full rate"] = peak / (3 * multiplications(model))
    try:
        measure("float32, channels last, torch.compile", compiled=True)
    except Exception as error:
        print(f"torch.compile failed: {type(error).__name__}", flush=True)
    print(json.dumps(rows, indent=1))
    if given.json:
        about = {
            "threads": given.threads, "torch": torch.__version__, "version": __version__,
            "machine": platform.machine(), "bfloat16": multiplies_bf16(on_cpu=True),
            "freed_memory_kept": kept,
        }  # fmt: skip
        text = json.dumps(about | {"clusters_per_second": rows}, indent=1)
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
