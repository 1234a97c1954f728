"""Feed the readers of foreign files with damaged ones, and see that they refuse them in one line.

    python tools/fuzz_readers.py --seconds 600 --seed 1 [--target events] [--out DIR]
    python tools/fuzz_readers.py --target events --replay DIR/finding

Small valid files are damaged (bits flipped, bytes put in or taken out, header cards with hostile
values, HDUs swapped, gzip streams cut or grown) and read in forked processes. Success and
`InputError` are allowed; another exception, more than 20 s, more than 1.5 GB of memory on top or
the death of the process is a finding, and kept in DIR with its seed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_damage import damaged
from fuzz_seeds import SEEDS, Seed

from icmass.errors import InputError

SECONDS_EACH = 20
GROWTH_BYTES = 1_500_000_000
BATCH = 400
SPOILED_BY_MEMORY = ("MemoryError", "Unable to allocate", "Cannot allocate")


class TooSlow(BaseException):
    """A reader took longer than `SECONDS_EACH`."""


@dataclass
class Tally:
    """What came of the executions of a target."""

    outcomes: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, object]] = field(default_factory=list)


def spoil(seed: Seed, folder: Path, number: tuple[int, ...]) -> Path:
    """Put a damaged copy of a seed into a folder and return what is to be read."""
    rng = np.random.default_rng(np.random.SeedSequence(number))
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    copy = folder / seed.path.name
    if seed.path.is_dir():
        shutil.copytree(seed.path, copy)
        files = sorted(f for f in copy.rglob("*") if f.is_file())
        victim = files[int(rng.integers(len(files)))]
    else:
        for beside in seed.beside:
            shutil.copy(beside, folder / beside.name)
        shutil.copy(seed.path, copy)
        victim = copy
    content = damaged(victim.read_bytes(), rng, text=seed.text)
    if seed.path.is_dir() and rng.random() < 0.05:
        victim.unlink()
    else:
        victim.write_bytes(content)
    return copy


def outcome_of(read: Callable[[Path], object], path: Path) -> tuple[str, str]:
    """Read a file and return what came of it, and the message or traceback."""

    def stop(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_EACH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
        return "read", ""
    except InputError as error:
        text = str(error)
        if any(word in text for word in SPOILED_BY_MEMORY):
            return "out of memory", text
        return ("refused", text) if len(text.splitlines()) == 1 else ("several lines", text)
    except MemoryError:
        return "out of memory", traceback.format_exc()
    except TooSlow:
        return "too slow", traceback.format_exc()
    except Exception:
        return "exception", traceback.format_exc()
    finally:
        signal.alarm(0)


def child(seeds: list[Seed], number: tuple[int, ...], folder: Path, pipe: int, end: float) -> None:
    """Run a batch; one line of JSON an execution goes into the pipe."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    for i in range(BATCH):
        if time.monotonic() > end:
            break
        seed = seeds[int(np.random.default_rng((*number, i)).integers(len(seeds)))]
        path = spoil(seed, folder, (*number, i))
        os.write(pipe, (json.dumps({"start": i, "seed": seed.label}) + "\n").encode())
        kind, text = outcome_of(seed.read, path)
        line = {"end": i, "seed": seed.label, "kind": kind, "text": text[-1500:]}
        os.write(pipe, (json.dumps(line) + "\n").encode())


def run_batch(
    seeds: list[Seed], number: tuple[int, ...], work: Path, tally: Tally, out: Path, end: float
) -> None:
    """Fork a batch, listen to it, and keep what it finds."""
    read_end, write_end = os.pipe()
    folder = work / "case"
    process = os.fork()
    if process == 0:
        os.close(read_end)
        code = 1
        try:
            child(seeds, number, folder, write_end, end)
            code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    running: dict[str, object] | None = None
    silent = False
    selector = selectors.DefaultSelector()
    selector.register(read_end, selectors.EVENT_READ)
    rest = b""
    while True:
        if not selector.select(timeout=2 * SECONDS_EACH):
            silent = True
            os.kill(process, signal.SIGKILL)
        part = os.read(read_end, 2**16)
        if not part:
            break
        *lines, rest = (rest + part).split(b"\n")
        for line in map(json.loads, lines):
            running = line if "start" in line else None
            if running is None:
                settle(line, number, folder, tally, out)
    os.close(read_end)
    _, status = os.waitpid(process, 0)
    if status and running is not None:
        kind = "hangs" if silent else f"process died ({status})"
        line = {"end": running["start"], "seed": running["seed"], "kind": kind, "text": ""}
        settle(line, number, folder, tally, out)
    elif status:
        raise SystemExit(f"the fuzzer itself failed in batch {number}")


def settle(
    line: dict[str, object], number: tuple[int, ...], folder: Path, tally: Tally, out: Path
) -> None:
    """Count an execution; keep the file of a finding."""
    kind = str(line["kind"])
    tally.outcomes[kind] += 1
    text = str(line["text"])
    if kind in ("read", "refused"):
        if kind == "refused":
            tally.messages[" ".join(text.split(": ", 1)[-1].split()[:4])] += 1
        return
    last = text.strip().splitlines()[-1] if text.strip() else kind
    where = [row.strip() for row in text.splitlines() if row.strip().startswith("File ")]
    known = {(str(f["last"]), str(f["where"])) for f in tally.findings}
    new = {**line, "number": [*number, line["end"]], "last": last, "where": where[-1:]}
    if (last, str(where[-1:])) in known:
        return
    tally.findings.append(new)
    kept = out / f"{str(line['seed']).replace('/', '_')}-{'-'.join(map(str, new['number']))}"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "finding.json").write_text(json.dumps(new, indent=1), encoding="utf-8")
    spoil(
        next(s for s in SEEDS.all if s.label == line["seed"]), kept / "case", tuple(new["number"])
    )
    print(f"FINDING {kept}: {kind}: {last} {where[-1:]}", flush=True)


def replay(target: str, folder: Path) -> None:
    """Read a finding again, in this process."""
    told = json.loads((folder / "finding.json").read_text(encoding="utf-8"))
    seeds = SEEDS.all if target == "all" else SEEDS.of(target)
    seed = next((s for s in seeds if s.label == told["seed"]), None)
    if seed is None:
        raise SystemExit(f"{folder}: is of no seed of --target {target}")
    start = time.monotonic()
    kind, text = outcome_of(seed.read, folder / "case" / seed.path.name)
    print(f"{told['kind']} then; now {kind} in {time.monotonic() - start:.1f} s\n{text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", default="all", choices=["all", *SEEDS.targets])
    parser.add_argument("--out", type=Path, help="where findings are kept")
    parser.add_argument("--replay", type=Path, metavar="DIR", help="read a finding again")
    options = parser.parse_args()
    out = options.out or Path(tempfile.gettempdir()) / "icmass-fuzz"
    targets = SEEDS.targets if options.target == "all" else [options.target]
    tallies = {name: Tally() for name in targets}
    with tempfile.TemporaryDirectory(prefix="icmass-fuzz-") as folder:
        SEEDS.make(Path(folder) / "seeds", targets)
        if options.replay is not None:
            replay(options.target, options.replay)
            return
        start = time.monotonic()
        end = start + options.seconds
        batch = 0
        while time.monotonic() < end:
            for name in targets:
                share = min(end, time.monotonic() + 30)
                number = (options.seed, SEEDS.targets.index(name), batch)
                run_batch(SEEDS.of(name), number, Path(folder) / "work", tallies[name], out, share)
            batch += 1
    print(f"seed {options.seed}: {time.monotonic() - start:.0f} s")
    for name, tally in tallies.items():
        total = sum(tally.outcomes.values())
        print(f"{name}: {total} executions, {dict(tally.outcomes)}")
        for text, n in tally.messages.most_common(8):
            print(f"    {n:6d} {text}")
    found = sum(len(tally.findings) for tally in tallies.values())
    print(f"{sum(sum(t.outcomes.values()) for t in tallies.values())} executions, {found} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
