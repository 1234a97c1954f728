"""Time of `icmass ingest esass` and `icmass predict` over sky tiles like those of eROSITA's DR1.

    python benchmarks/whole_sky.py [--tiles 20] [--workers 2] [--no-predict] [--json FILE]

Writes mock tiles: 3.6 x 3.6 deg that overlap by 20 arcmin, all modules in one gzipped event list
with the columns of DR1 (100 bytes an event), attitude, dead and good times of each camera, and an
exposure map of 3240 x 3240 pixels each (erosita.mpe.mpg.de/dr1, description of the data products).
DR1 has 2,447 tiles and 170 million photons in 0.2-2 keV (MPE's announcement of 31 January 2024),
70,000 a tile; with the sky's and the instrument's rates of this package (0.3-2.2 keV are 0.0029
counts/s/arcmin^2 of 0.0064 in 0.2-10 keV) a tile has 150,000 events in all. They are drawn with a
scatter of 0.5 in ln, and the last tile has ten times as many, as those at the ecliptic pole. There
are five clusters a tile: 12,247 in 2,447, at the redshifts of eRASS1's. Everything runs as users
run it, in processes of their own; the time of one tile is multiplied by 2,447.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from icmass import __version__

TILES, CLUSTERS = 2447, 12247
SIDE, STEP = 3.6, 3.6 - 20 / 60
MEAN_EVENTS, SCATTER = 150_000, 0.5
RA, DEC = 150.0, -30.0
ROW = np.dtype(
    [
        ("TIME", ">f8"),
        ("FRACEXP", ">f4"),
        ("FRAME", ">i4"),
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
        ("SUBY", ">f4"),
        ("TM_NR", "u1"),
        ("PAT_INF", "u1"),
        ("CCDNR", "u1"),
    ]
)
DAY, PASSES, PASS_S = 14_400.0, 80, 180.0


def centres(n: int) -> list[tuple[float, float]]:
    """Return centres of tiles in rows of five."""
    places = []
    for k in range(n):
        dec = DEC + STEP * (k // 5)
        places.append((RA + STEP * (k % 5) / np.cos(np.radians(dec)), dec))
    return places


def events(n: int, ra: float, dec: float, rng: np.random.Generator) -> np.ndarray:
    """Return events spread evenly over a tile, with the energies of a background."""
    rows = np.zeros(n, ROW)
    rows["TIME"] = 6.3e8 + DAY * rng.integers(0, PASSES, n) + rng.uniform(0, PASS_S, n)
    rows["DEC"] = dec + rng.uniform(-SIDE / 2, SIDE / 2, n)
    rows["RA"] = ra + rng.uniform(-SIDE / 2, SIDE / 2, n) / np.cos(np.radians(rows["DEC"]))
    rows["X"], rows["Y"] = rng.uniform(0, 3e5, (2, n))
    rows["RECORDTIME"] = rows["FRAMETIME"] = rows["TIME"]
    rows["FRAME"] = rng.integers(0, 2**31, n)
    rows["PI"] = rng.exponential(1500, n) + 200
    rows["RAWX"], rows["RAWY"] = rng.integers(1, 385, (2, n))
    rows["PHA"] = rng.integers(0, 4096, n)
    rows["TM_NR"] = rows["CCDNR"] = rng.integers(1, 8, n)
    rows["PAT_TYP"] = rng.choice([1, 1, 1, 2, 2, 3, 4], n)
    return rows[np.argsort(rows["TIME"])]


def write_tile(path: Path, n: int, ra: float, dec: float, rng: np.random.Generator) -> None:
    """Write a tile's event list, gzipped."""
    table = fits.BinTableHDU(events(n, ra, dec, rng), name="EVENTS")
    table.header.update({"TELESCOP": "eROSITA", "OBS_MODE": "SURVEY", "HDUCLAS1": "EVENTS"})
    table.header.update({f"INSTRUM{m}": f"TM{m}" for m in range(1, 8)})
    begins = 6.3e8 + DAY * np.arange(PASSES)
    times = (begins[:, None] + np.arange(0, PASS_S)).ravel()
    hdus: list[Any] = [fits.PrimaryHDU(), table]
    for m in range(1, 8):
        pointing = {"TIME": times, "RA": np.full(len(times), ra), "DEC": np.full(len(times), dec)}
        for name, columns in (
            (f"CORRATT{m}", {**pointing, "ROLL": rng.normal(0, 1e-3, len(times))}),
            (f"DEADCOR{m}", {"TIME": times, "DEADC": np.full(len(times), 0.98)}),
            (f"GTI{m}", {"START": begins, "STOP": begins + PASS_S}),
        ):
            of = [fits.Column(key, "D", array=values) for key, values in columns.items()]
            hdus.append(fits.BinTableHDU.from_columns(of, name=name))
    plain = path.with_suffix("")
    fits.HDUList(hdus).writeto(plain)
    with plain.open("rb") as source, gzip.open(path, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 2**20)
    plain.unlink()


def write_map(path: Path, ra: float, dec: float, rng: np.random.Generator) -> None:
    """Write a tile's exposure map: about 110 s, smooth."""
    x = np.linspace(0, 3, 3240)
    values = 110 + 20 * np.sin(x + rng.uniform(0, 6)) + 20 * np.cos(x[:, None])
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CUNIT1": "deg"})
    header.update({"CUNIT2": "deg", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": 1620.5})
    header.update({"CRPIX2": 1620.5, "CDELT1": -4 / 3600, "CDELT2": 4 / 3600})
    header.update({"TELESCOP": "eROSITA", "EMIN1": 0.2, "EMAX1": 2.3})
    fits.writeto(path, values.astype("f4"), header)


def make(folder: Path, n_tiles: int) -> dict[str, Any]:
    """Write tiles, maps and a table of clusters; return what was made."""
    rng = np.random.default_rng(1)
    mean = MEAN_EVENTS * np.exp(SCATTER * rng.normal(size=n_tiles) - SCATTER**2 / 2)
    numbers = np.append(mean[:-1], 10 * MEAN_EVENTS).astype(int)
    tiles, maps, rows = [], [], []
    per_tile = CLUSTERS / TILES
    for (ra, dec), n in zip(centres(n_tiles), numbers, strict=True):
        name = f"{int(np.ceil(ra)) % 360:03d}{int(90 - dec):03d}"
        tiles.append(folder / f"em01_{name}_020_EventList_c010.fits.gz")
        maps.append(folder / f"em01_{name}_024_ExposureMap_c010.fits.gz")
        write_tile(tiles[-1], int(n), ra, dec, rng)
        write_map(maps[-1], ra, dec, rng)
        for _ in range(round(per_tile)):
            d = dec + rng.uniform(-STEP / 2, STEP / 2)
            a = ra + rng.uniform(-STEP / 2, STEP / 2) / np.cos(np.radians(d))
            z = np.clip(rng.lognormal(np.log(0.31), 0.7), 0.05, 0.5)
            rows.append(f"c{len(rows)},{a:.5f},{d:.5f},{z:.4f},3")
    table = folder / "clusters.csv"
    table.write_text("\n".join(["id,ra,dec,z,nh", *rows]), encoding="ascii")
    return {"tiles": tiles, "maps": maps, "table": table, "n": len(rows), "events": numbers}


def run(command: list[str]) -> dict[str, float]:
    """Return what a command takes, the largest memory of its processes included [s, MiB]."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command[:6]} ended with {status}")
    # children that it has waited for are in its usage, but its peak is that of the largest
    return {
        "clock_s": round(took, 1),
        "processor_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": usage.ru_maxrss // 1024,
    }


def measure(made: dict[str, Any], folder: Path, workers: int, predict: bool) -> dict[str, Any]:
    """Run ingest with one worker and with several, with a number for the exposure and with maps."""
    icmass = [sys.executable, "-m", "icmass"]
    tiles = [str(path) for path in made["tiles"]]
    table = ["--table", str(made["table"])]
    number, maps = ["--exposure", "110"], ["--expmap", *map(str, made["maps"])]
    found: dict[str, Any] = {}
    for name, exposure, n in (
        ("start", number, 1),
        (f"start, {workers} workers", number, workers),
        ("exposure given, 1 worker", number, 1),
        ("exposure maps, 1 worker", maps, 1),
        (f"exposure maps, {workers} workers", maps, workers),
    ):
        some = tiles[:workers] if name.startswith("start, ") else tiles
        some = tiles[:1] if name == "start" else some
        out = folder / f"{name.replace(' ', '-')}.zarr"
        command = [*icmass, "ingest", "esass", *some, *table, *exposure, "--out", str(out)]
        found[name] = run([*command, "--workers", str(n)])
        print(f"{name}: {found[name]}", flush=True)
    if predict:
        store = folder / f"exposure-maps,-{workers}-workers.zarr"
        found["predict, of the survey"] = run([*icmass, "predict", str(store), "--device", "cpu"])
        print(f"predict: {found['predict, of the survey']}", flush=True)
    return found


def summarise(
    found: dict[str, Any], n_clusters: int, n_tiles: int, workers: int
) -> dict[str, dict[str, float]]:
    """Return seconds of the processor a tile or a cluster, and hours of one core for all."""
    summary = {}
    for key, took in found.items():
        if key.startswith("start"):
            continue
        if key.startswith("predict"):
            name, each, n = "s_a_cluster", took["processor_s"] / n_clusters, CLUSTERS
        else:
            alone = "1 worker" in key
            begin = found["start" if alone else f"start, {workers} workers"]["processor_s"]
            rest = n_tiles - (1 if alone else workers)
            name, each, n = "s_a_tile_core", (took["processor_s"] - begin) / rest, TILES
        summary[key] = {name: round(each, 2), "sky_h_core": round(each * n / 3600, 2)}
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiles", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-predict", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to write the files for a while")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        made = make(folder, options.tiles)
        size = sum(path.stat().st_size for path in made["tiles"]) / 1e6
        print(
            f"{options.tiles} tiles, {made['events'].sum():,} events, {size:.0f} MB gzipped, "
            f"{made['n']} clusters",
            flush=True,
        )
        found = measure(made, folder, options.workers, not options.no_predict)
    summary = summarise(found, made["n"], options.tiles, options.workers)
    document = {
        "command": f"python benchmarks/whole_sky.py --tiles {options.tiles}",
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, shared",
        "version": __version__,
        "tiles": options.tiles,
        "events": made["events"].tolist(),
        "mb_gzipped": round(size),
        "clusters": made["n"],
        "runs": found,
        "whole_sky": {"tiles": TILES, "clusters": CLUSTERS, **summary},
    }
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
