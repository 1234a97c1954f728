"""Event files for tests, as eROSITA's data release 1, its early release and SIXTE write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from icmass.errors import InputError
from icmass.io.target import Target
from icmass.survey.observed.events import EventSource

RA, DEC, REDSHIFT = 150.1, 2.2, 0.3
BANDS = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))
Columns = dict[str, np.ndarray]
Change = Callable[[Path], object]
HERE = Target("here", RA, DEC, REDSHIFT)


def read_one(source: EventSource, target: Target = HERE) -> dict[str, Any]:
    """Return the variables of one cluster, or raise why there are none."""
    [(_, found)] = source.read([target])
    if isinstance(found, InputError):
        raise found
    return found


def draw(
    n: int, seed: int = 0, *, ra: float = RA, dec: float = DEC, spread: float = 0.03
) -> Columns:
    """Return n events about a place, in time order, half of them good."""
    rng = np.random.default_rng(seed)
    return {
        "TIME": np.sort(rng.uniform(0, 1000, n)),
        "RA": np.mod(ra + rng.normal(0, spread, n) / np.cos(np.radians(dec)), 360),
        "DEC": np.clip(dec + rng.normal(0, spread, n), -90, 90),
        "PI": rng.uniform(200, 8000, n).astype("f4"),
        "TM_NR": rng.integers(1, 8, n).astype("u1"),
        "FLAG": np.where(rng.random(n) < 0.8, 0x1, 0xC0000000).astype("u4"),
        "PAT_TYP": rng.choice([1, 1, 1, 2, 3, 4, 0, 5], n).astype("i2"),
    }


def good(n: int, seed: int = 0, **where: Any) -> Columns:
    """Return events of which every one is used: modules without a light leak, singles."""
    events = draw(n, seed, **where)
    events["FLAG"][:], events["PAT_TYP"][:] = 0, 1
    events["TM_NR"][:] = np.array([1, 2, 3, 4, 6])[np.arange(n) % 5]
    events["PI"] = np.random.default_rng(seed).uniform(500, 6999, n).astype("f4")
    return events


def part(events: Columns, chosen: Any) -> Columns:
    """Return some of the events, or all of them in another order."""
    return {name: values[chosen] for name, values in events.items()}


def write(
    path: Path,
    events: Columns,
    *,
    form: str = "dr1",
    gtis: Mapping[int, Sequence[tuple[float, float]]] | None = None,
    live: Mapping[int, float] | None = None,
    signed_flag: bool = False,
    **keys: Any,
) -> Path:
    """Write events; `form` is dr1, edr (angles as scaled integers) or sixte (SIGNAL in keV)."""
    table = fits.BinTableHDU.from_columns(_columns(events, form, signed_flag), name="EVENTS")
    if form == "edr":
        for number, name in enumerate(table.columns.names, 1):
            if name in ("RA", "DEC"):
                table.header[f"TSCAL{number}"] = 1e-6
    names = {m: f"TM{m}" for m in range(1, 8)}
    known = {
        "TELESCOP": "eROSITA",
        "OBS_MODE": "POINTING",
        **{f"INSTRUM{m}": name for m, name in names.items()},
    }
    table.header.update({k: v for k, v in {**known, **keys}.items() if v is not None})
    hdus = [fits.PrimaryHDU(), table]
    whole = {m: [(0.0, 1000.0)] for m in range(1, 8)}
    for module, times in (whole if gtis is None else gtis).items():
        pairs = np.array(times, float).reshape(-1, 2)
        columns = [
            fits.Column(n, "D", "s", array=pairs[:, i]) for i, n in enumerate(("START", "STOP"))
        ]
        hdus.append(
            fits.BinTableHDU.from_columns(columns, name=f"GTI{module}" if module else "STDGTI")
        )
    for module, fraction in (live or {}).items():
        columns = [fits.Column("TIME", "D", array=np.arange(4.0))]
        columns += [fits.Column("DEADC", "E", array=np.full(4, fraction))]
        hdus.append(fits.BinTableHDU.from_columns(columns, name=f"DEADCOR{module}"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def _columns(events: Columns, form: str, signed_flag: bool) -> list[fits.Column]:
    n = len(events["RA"])
    if form == "sixte":
        return [
            fits.Column("TIME", "D", "s", array=events["TIME"]),
            fits.Column("FRAME", "J", array=np.arange(n)),
            fits.Column("PI", "J", "ADU", array=np.rint(events["PI"] / 5)),
            fits.Column("SIGNAL", "E", "keV", array=events["PI"] / 1000),
            fits.Column("RA", "D", "deg", array=events["RA"]),
            fits.Column("DEC", "D", "deg", array=events["DEC"]),
            fits.Column("PH_ID", "2J", array=np.zeros((n, 2))),
        ]
    angle = "J" if form == "edr" else "D"
    flag = events["FLAG"]
    zero = None if signed_flag else 2**31
    zeros = np.zeros(n)
    return [
        fits.Column("TIME", "D", "s", array=events["TIME"]),
        fits.Column("FRACEXP", "E", array=zeros),
        fits.Column("RA", angle, "deg", array=_angle(events["RA"], form)),
        fits.Column("DEC", angle, "deg", array=_angle(events["DEC"], form)),
        fits.Column("X", "D", array=zeros),
        fits.Column("Y", "D", array=zeros),
        fits.Column("RAWX", "I", array=zeros),
        fits.Column("PHA", "I", array=zeros),
        fits.Column("PI", "E", "eV", array=events["PI"]),
        fits.Column("FLAG", "J", bzero=zero, array=flag.view("i4") if signed_flag else flag),
        fits.Column("TM_NR", "B", array=events["TM_NR"]),
        fits.Column("PAT_TYP", "I", array=events["PAT_TYP"]),
        fits.Column("PAT_INF", "B", array=zeros),
        fits.Column("EV_WEIGHT", "E", array=zeros),
        fits.Column("SUBX", "D", array=zeros),
    ]


def _angle(values: np.ndarray, form: str) -> np.ndarray:
    return np.rint(values * 1e6).astype("i4") if form == "edr" else values


def recard(old: bytes, new: bytes) -> Change:
    """Change a card whatever astropy thinks of it."""

    def change(path: Path) -> None:
        content = path.read_bytes()
        at = content.index(old)
        path.write_bytes(content[:at] + new.ljust(80)[:80] + content[at + 80 :])

    return change
