"""Time and memory of `icmass ingest esass` on one core.

    python benchmarks/ingest_speed.py [--events 1e7] [--clusters 20] [--big]

Writes an event file like those of eROSITA's data release 1 (a sky tile of 3.6 degrees, all columns
that icmass reads and some that it passes over, 83 bytes an event), plain and gzipped, and reads
clusters in it as a user would: a process of its own, started, finished and timed on one core. The
floor is the time to read (and expand) the bytes alone. With --big, a list of 6e7 events, 5 GB, too,
plain only: its memory is to be that of the small one, but for the photons that are remembered to
tell duplicates.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

RA, DEC, SIDE = 150.0, 2.0, 3.6
ROW = np.dtype(
    [
        ("TIME", ">f8"),
        ("RA", ">f8"),
        ("DEC", ">f8"),
        ("X", ">f8"),
        ("Y", ">f8"),
        ("RECORDTIME", ">f8"),
        ("FRAMETIME", ">f8"),
        ("PI", ">f4"),
        ("EV_WEIGHT", ">f4"),
        ("FLAG", ">i4"),
        ("RAWX", ">i2"),
        ("RAWY", ">i2"),
        ("PHA", ">i2"),
        ("PAT_TYP", ">i2"),
        ("SUBX", ">f4"),
        ("TM_NR", "u1"),
        ("PAT_INF", "u1"),
        ("CCDNR", "u1"),
    ]
)
AT_ONCE = 500_000


def rows(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return events spread evenly over the tile, with the energies of a background."""
    events = np.zeros(n, ROW)
    events["TIME"] = rng.uniform(6e8, 6.1e8, n)
    events["RA"] = RA + rng.uniform(-SIDE / 2, SIDE / 2, n)
    events["DEC"] = DEC + rng.uniform(-SIDE / 2, SIDE / 2, n)
    events["X"], events["Y"] = rng.uniform(0, 3e5, (2, n))
    events["PI"] = rng.exponential(1500, n) + 200
    events["TM_NR"] = rng.integers(1, 8, n)
    events["PAT_TYP"] = rng.choice([1, 1, 1, 2, 2, 3, 4], n)
    events["FLAG"] = rng.choice([0, 0, 0, 0, 0x10, -(2**31)], n)
    return events


def write(path: Path, n: int) -> None:
    """Write an event file piece by piece."""
    rng = np.random.default_rng(1)
    table = fits.BinTableHDU(np.zeros(1, ROW), name="EVENTS")
    table.header["NAXIS2"] = n
    table.header["OBS_MODE"] = "SURVEY"
    fits.PrimaryHDU().writeto(path)
    with path.open("ab") as file:
        file.write(table.header.tostring().encode("ascii"))
        for start in range(0, n, AT_ONCE):
            file.write(rows(min(AT_ONCE, n - start), rng).tobytes())
        file.write(bytes(-file.tell() % 2880))


def clusters(path: Path, n: int) -> None:
    rng = np.random.default_rng(2)
    place = np.array([RA, DEC]) + rng.uniform(-SIDE / 2 + 0.2, SIDE / 2 - 0.2, (n, 2))
    lines = [
        f"c{i},{a},{d},{z}"
        for i, ((a, d), z) in enumerate(zip(place, rng.uniform(0.1, 0.8, n), strict=True))
    ]
    path.write_text("\n".join(["id,ra,dec,z", *lines]), encoding="ascii")


def run(command: list[str]) -> tuple[float, float, int, str]:
    """Return seconds on the clock and of the processor, peak memory [MiB] and the last line."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(command, stdout=told)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.perf_counter() - start
        told.seek(0)
        line = told.read().decode().strip()
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, line


def floor(path: Path) -> float:
    start = time.perf_counter()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while file.read(2**24):
            pass
    return time.perf_counter() - start


def measure(path: Path, table: Path) -> None:
    out = path.with_name("out.zarr")
    command = [sys.executable, "-m", "icmass", "ingest", "esass", str(path), "--table", str(table)]
    command += ["--exposure", "2000", "--out", str(out), "--overwrite"]
    took, processor, peak, line = run(command)
    print(
        f"{path.name}: {path.stat().st_size / 1e9:.2f} GB in {took:.1f} s on the clock, "
        f"{processor:.1f} s of the processor, peak memory {peak} MiB; "
        f"bytes alone {floor(path):.1f} s"
    )
    print(f"    {line.split(': ', 1)[-1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=float, default=1e7)
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to write the files for a while")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{platform.processor() or platform.machine()}, one of {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        table, path = Path(folder) / "clusters.csv", Path(folder) / "small.fits"
        clusters(table, options.clusters)
        write(path, 100_000)
        measure(path, table)  # compiles what is not yet, and tells what starting costs
        path = Path(folder) / "events.fits"
        write(path, int(options.events))
        measure(path, table)
        zipped = path.with_name("events.fits.gz")
        subprocess.run(["gzip", "-1", "-k", str(path)], check=True)
        measure(zipped, table)
        path.unlink()
        zipped.unlink()
        if options.big:
            path = Path(folder) / "big.fits"
            write(path, 60_000_000)
            measure(path, table)


if __name__ == "__main__":
    main()
