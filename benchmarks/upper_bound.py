"""How low networks come with many clusters and a GPU: large ones, small ones, small ones taught.

    python benchmarks/upper_bound.py --work DIR [--presets erosita phox] [--n 100000]
        [--deadline SECONDS] [--workers W] [--json FILE]

For each preset a large network is trained for one band, for three, and for maps and galaxies
(``icm-large-*``), then the small ones (``icm-*``) on the same clusters, then these again with the
large one as a teacher (`icmass.training.distillation`). All are scored on the clusters of seed 1,
which none was trained on. Training clusters are of other seeds; processes simulate them from the
beginning on, and a network trains on those that are there (`upper_bound_shards.py`).

The deadline is shared out among the fits (`upper_bound_fit.py`), a large one counting five times a
small one. Each trains for its time with one cycle of the learning rate: the seconds of a step are
measured first, and how many rounds are left is decided again at every round
(`upper_bound_clusters.py`). The round of least loss on clusters held out is kept. Results are
written after every fit. The same command goes on after a kill: shards and finished fits stay, a
fit goes on from its last round, and the new deadline is shared out among what is left. What comes
after a training, some seconds on a GPU, may pass the deadline: leave half a minute.

On a GPU a batch of 256 needs 5 GB (`icmass.networks.large.LargeNetwork`), the 4,096 clusters that
have maps at once 4 GB, and 100,000 clusters of erosita 8 GB, of phox 2 GB. On one core of a CPU a
step of 64 clusters takes 8 s: there, try it with ``--n 64 --n-test 16 --batch 8 --presets demo``.

Galaxies have no stellar masses here, unless with ``--stellar-masses``: the ideal observer
(`ideal_observer.py`) does not know them either, and its bound would not be one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from upper_bound_clusters import n_first
from upper_bound_fit import DATA, Run, Task, distillation, fit
from upper_bound_shards import TEST_SEED, TRAIN_SEED, Shards, Simulation, shards_of

from icmass.benchmarking.provenance import machine, versions
from icmass.errors import InputError, one_line
from icmass.files import write_text
from icmass.main_process import usable_cores
from icmass.training.devices import make_accelerator

PRESETS = ("erosita", "phox", "demo")
WEIGHTS = {"large": 1.0, "small": 0.2, "distilled": 0.2}


def document(
    run: Run, tasks: Sequence[Task], about: dict[str, Any], failed: dict[str, str]
) -> dict[str, Any]:
    """Return all that is known so far."""
    files = {task: run.result(task) for task in tasks}
    return about | {
        "failed": failed,
        "left": [t.name for t, file in files.items() if not file.exists() and t.name not in failed],
        "rows": [json.loads(file.read_text()) for file in files.values() if file.exists()],
        "distillation": distillation(run, tasks),
    }


def beside_training(row: dict[str, Any]) -> float:
    """Return the seconds that a fit took for all but its training."""
    return max(float(row["seconds"] - row["train_seconds"]), 0.0)


def fit_all(
    run: Run, tasks: Sequence[Task], until: float, keep: Callable[[dict[str, str]], None]
) -> dict[str, str]:
    """Make the fits that are not finished, one after the other; return what failed, by name."""
    failed: dict[str, str] = {}
    spent: dict[str, float] = {}  # by kind, on all but training
    for task in tasks:
        if run.result(task).exists():
            spent[task.kind] = beside_training(json.loads(run.result(task).read_text()))
    todo = [task for task in tasks if not run.result(task).exists()]
    for i, task in enumerate(todo):
        if task.kind == "distilled" and not run.result(task.teacher).exists():
            failed[task.name] = "its teacher was not trained"
            continue
        train = run.train[task.preset]
        try:
            if not train.wait(n_first(train), run.simulation.check, until):
                break
            start = time.time()
            left = sum(WEIGHTS[other.kind] for other in todo[i:])
            share = (until - start) * WEIGHTS[task.kind] / left
            if share <= 0:
                break
            unknown = max(spent.values(), default=0.15 * share)
            reserve = min(spent.get(task.kind, unknown), 0.5 * share)
            row = fit(run, task, start + share, reserve)
            spent[task.kind] = beside_training(row)
            shown = 100 * row["sigma_lnm"], 100 * row["sigma_lnm_error"]
            said = f"{shown[0]:.1f} ± {shown[1]:.1f} per cent, {row['n_train']} clusters, "
            said += f"{row['rounds']} rounds, {row['seconds']} s"
        except Exception as error:  # one that fails does not stop the others
            said = failed[task.name] = one_line(error)
        print(f"{task.name}: {said}; {until - time.time():.0f} s left", flush=True)
        keep(failed)
    return failed


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder to keep everything in")
    parser.add_argument("--presets", nargs="+", default=PRESETS[:2], choices=PRESETS)
    parser.add_argument("--n", type=int, default=100_000, help="training clusters of each preset")
    parser.add_argument("--n-test", type=int, default=3285, help="clusters of seed 1 to score on")
    parser.add_argument("--deadline", type=float, default=3600.0, help="seconds from now")
    parser.add_argument(
        "--workers", type=int, help="processes that simulate; default: cores less 1"
    )
    parser.add_argument("--networks", nargs="+", default=tuple(DATA), choices=tuple(DATA))
    parser.add_argument("--kinds", nargs="+", default=tuple(WEIGHTS), choices=tuple(WEIGHTS))
    parser.add_argument("--batch", type=int, help="clusters of a step; default: 256, 64 on a CPU")
    parser.add_argument("--shard", type=int, default=1024, help="clusters simulated at a time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="pays after some minutes a network")
    parser.add_argument("--stellar-masses", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def checked(given: argparse.Namespace) -> None:
    """Refuse numbers that make no sense."""
    least = {"n": 32, "n_test": 2, "deadline": 1, "shard": 1, "batch": 1, "workers": 1}
    for name, low in least.items():
        value = getattr(given, name)
        if value is not None and not value >= low:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{value}", field=option, hint=f"give {low} or more")


def main() -> None:
    given = arguments()
    until = time.time() + given.deadline
    try:
        checked(given)
        device = make_accelerator(given.device).device
    except InputError as error:
        raise SystemExit(f"upper_bound: {error.command_line}") from None
    on_gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark = on_gpu
    workers = given.workers or max(usable_cores() - 1, 1)
    size = min(given.shard, max(given.n // 8, 1))
    folder, made = given.work / "shards", {}
    for kind, n in (("train", given.n), ("test", given.n_test)):
        made[kind] = {preset: shards_of(preset, kind, n, size) for preset in given.presets}
    sets: dict[str, dict[str, Shards]] = {
        kind: {
            preset: Shards(folder, shards, device, stellar_masses=given.stellar_masses)
            for preset, shards in of_kind.items()
        }
        for kind, of_kind in made.items()
    }
    order = []
    for preset in given.presets:
        first = n_first(sets["train"][preset]) + workers
        train = made["train"][preset]
        order += [*train[:first], *made["test"][preset], *train[first:]]
    tasks = [
        Task(preset, seen, kind)
        for kind in given.kinds
        for preset in given.presets
        for seen in given.networks
    ]
    about = {"n": given.n, "n_test": given.n_test, "shard": size, "workers": workers}
    about |= {"test_seed": TEST_SEED, "first_train_seed": TRAIN_SEED, "deadline_s": given.deadline}
    about |= {"stellar_masses": given.stellar_masses, "compiled": given.compile}
    about |= {"machine": machine(given.device).model_dump(), "versions": versions()}
    batch = given.batch or (256 if on_gpu else 64)
    with Simulation(folder, order, workers) as simulation:
        how = (simulation, given.device, batch, given.compile)
        run = Run(given.work, sets["train"], sets["test"], *how)

        def keep(failed: dict[str, str]) -> None:
            if given.json:
                text = json.dumps(document(run, tasks, about, failed), indent=1)
                write_text(given.json, text + "\n")

        failed = fit_all(run, tasks, until, keep)
        keep(failed)
    found = document(run, tasks, about, failed)
    for line in (*found["rows"], *found["distillation"]):
        print(json.dumps(line), flush=True)
    if found["left"]:
        print(f"no time for {', '.join(found['left'])}", flush=True)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
