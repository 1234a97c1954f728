"""Small valid files of every kind that icmass reads, and how, for `fuzz_readers.py`."""

from __future__ import annotations

import gzip
import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

RA, DEC, REDSHIFT = 150.1, 2.2, 0.3
BANDS = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))
REGIONS = """# Region file format: DS9 version 4.1
fk5
circle(150.1,2.2,30")
ellipse(10:00:24.0,+02:12:00,40",20",30)
box(150.11,2.21,30",40",10)
polygon(150.10,2.20,150.11,2.20,150.11,2.21)
annulus(150.1,2.2,10",20")
-circle(150.12,2.19,0.01)
galactic; circle(236.3,42.4,0.01) # color=red
j2000
ellipse(150.1d,2.2d,7",6",9",8",30) ||
"""


@dataclass(frozen=True)
class Seed:
    """A valid file, what lies beside it, and the reader that is tried on damaged copies."""

    label: str
    path: Path
    read: Callable[[Path], object]
    text: bool = False
    beside: tuple[Path, ...] = ()


@dataclass
class Seeds:
    """The seeds of every target."""

    by_target: dict[str, list[Seed]] = field(default_factory=dict)
    targets: tuple[str, ...] = ("events", "images", "masks", "table", "photons", "stores", "models")

    @property
    def all(self) -> list[Seed]:
        return [seed for seeds in self.by_target.values() for seed in seeds]

    def of(self, target: str) -> list[Seed]:
        return self.by_target[target]

    def make(self, folder: Path, targets: list[str] | tuple[str, ...]) -> None:
        """Write the files, and read each once so that nothing is imported or compiled later."""
        makers = {
            "events": _events,
            "images": _images,
            "masks": _masks,
            "table": _tables,
            "photons": _photons,
            "stores": _stores,
            "models": _models,
        }
        for target in targets:
            place = folder / target
            place.mkdir(parents=True)
            self.by_target[target] = makers[target](place)
            for seed in self.by_target[target]:
                seed.read(seed.path)


SEEDS = Seeds()


def _gzipped(seed: Seed) -> Seed:
    path = seed.path.with_name(seed.path.name + ".gz")
    path.write_bytes(gzip.compress(seed.path.read_bytes()))
    return Seed(seed.label + "-gz", path, seed.read, seed.text)


def _grid() -> object:
    from icmass.sky.map_grid import MapGrid

    return MapGrid(BANDS, 16)


def _sky_header(n: int = 24) -> fits.Header:
    from icmass.sky.map_grid import MapGrid, cluster_frame

    return cluster_frame(RA, DEC, redshift=REDSHIFT, grid=MapGrid(BANDS, n)).to_header()


def _read_events(seconds: float | None) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        from icmass.errors import InputError
        from icmass.io.target import Target
        from icmass.survey.observed.events import open_events

        source = open_events([path], _grid(), seconds=seconds)  # type: ignore[arg-type]
        _ = source.facts
        [(_, found)] = source.read([Target("it", RA, DEC, REDSHIFT)])
        if isinstance(found, InputError):
            raise found
        return found, source.outcomes

    return read


def _event_columns(n: int, *, scaled: bool, mock: bool) -> list[fits.Column]:
    rng = np.random.default_rng(5)
    ra, dec = RA + rng.normal(0, 0.02, n), DEC + rng.normal(0, 0.02, n)
    form = "J" if scaled else "D"
    if scaled:
        ra, dec = np.rint(ra * 1e6).astype("i4"), np.rint(dec * 1e6).astype("i4")
    energy = rng.uniform(300, 7000, n)
    columns = [
        fits.Column("TIME", "D", "s", array=np.sort(rng.uniform(0, 1000, n))),
        fits.Column("RA", form, "deg", array=ra),
        fits.Column("DEC", form, "deg", array=dec),
    ]
    if mock:
        grade = rng.integers(-1, 13, n)
        return [
            *columns,
            fits.Column("SIGNAL", "E", "keV", array=energy / 1000),
            fits.Column("TYPE", "I", array=grade),
            fits.Column("NPIXELS", "J", array=(grade + 3) // 4 + 1),
        ]
    zero = 2**31 if not scaled else None
    return [
        *columns,
        fits.Column("X", "D", array=np.ones(n)),
        fits.Column("PI", "E", "eV", array=energy),
        fits.Column("TM_NR", "B", array=rng.integers(1, 8, n)),
        fits.Column("FLAG", "J", bzero=zero, array=np.zeros(n, "u4" if zero else "i4")),
        fits.Column("PAT_TYP", "I", array=rng.integers(1, 5, n)),
        fits.Column("OBS", "6A", array=np.full(n, "700001")),
        fits.Column("SKY", "3E", array=np.zeros((n, 3))),
    ]


def _event_file(path: Path, *, scaled: bool = False, mock: bool = False, gti: bool = True) -> Path:
    events = fits.BinTableHDU.from_columns(
        _event_columns(80, scaled=scaled, mock=mock), name="EVENTS"
    )
    events.header["OBS_MODE"] = "POINTING"
    events.header["LIGHTLEA"] = False
    if scaled:
        events.header.update({"TSCAL2": 1e-6, "TSCAL3": 1e-6})
    hdus = [fits.PrimaryHDU(), events]
    for module in (1, 2, 3) if gti else ():
        times = [
            fits.Column(name, "D", array=np.array([low, low + 400]))
            for name, low in (("START", 0.0), ("STOP", 500.0))
        ]
        hdus.append(fits.BinTableHDU.from_columns(times, name=f"GTI{module}"))
        live = fits.Column("DEADC", "E", array=np.full(5, 0.9))
        hdus.append(fits.BinTableHDU.from_columns([live], name=f"DEADCOR{module}"))
    fits.HDUList(hdus).writeto(path)
    return path


def _evtool_file(path: Path) -> Path:
    """Write an event file with the units and the classes of evtool, GTIs before the events."""
    with fits.open(_event_file(path)) as hdus:
        primary, events, *others = [hdu.copy() for hdu in hdus]
    for number, name in enumerate(events.columns.names, 1):
        events.header[f"TUNIT{number}"] = "s" if name == "TIME" else "deg"
    events.header["EXPOSURE"] = 500.0
    whole = fits.HDUList([primary, *others, events])
    for hdu in whole:
        hdu.header.update({"HDUCLAS1": "EVENTS", "TELESCOP": "eROSITA"})
    whole.writeto(path, overwrite=True)
    return path


def _events(folder: Path) -> list[Seed]:
    pointing = Seed("dr1", _event_file(folder / "dr1.fits"), _read_events(None))
    given = _read_events(1000.0)
    edr = Seed("edr", _event_file(folder / "edr.fits", scaled=True), given)
    sixte = Seed("sixte", _event_file(folder / "sixte.fits", mock=True, gti=False), given)
    evtool = Seed("evtool", _evtool_file(folder / "evtool.fits"), _read_events(None))
    return [pointing, edr, sixte, evtool, _gzipped(pointing)]


def _read_image(path: Path) -> object:
    from icmass.io.fits_images import band_of, check_counts, read_plane
    from icmass.io.target import Target
    from icmass.survey.observed.events import open_events

    plane = read_plane(path)
    check_counts(plane)
    band_of(plane)
    events = path.with_name("events.fits")
    source = open_events([events], _grid(), exposure_maps=[path])  # type: ignore[arg-type]
    return list(source.read([Target("it", RA, DEC, REDSHIFT)]))


def _images(folder: Path) -> list[Seed]:
    events = _event_file(folder / "events.fits")
    header = _sky_header()
    header.update({"EMIN1": 0.5, "EMAX1": 2.0, "NENERGY": 1})
    flat = np.full((24, 24), 900.0, "f4")
    fits.writeto(folder / "map.fits", flat, header)
    scaled = fits.PrimaryHDU(flat.astype("i2"), header)
    scaled.scale("int16", bzero=32768)
    scaled.writeto(folder / "scaled.fits")
    cube = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flat[None], header)])
    cube.writeto(folder / "cube.fits")
    packed = fits.CompImageHDU(flat.astype("i4"), header)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(folder / "packed.fits")
    names = ("map", "scaled", "cube", "packed")
    seeds = [Seed(n, folder / f"{n}.fits", _read_image, beside=(events,)) for n in names]
    zipped = _gzipped(seeds[0])
    return [*seeds, Seed(zipped.label, zipped.path, _read_image, beside=(events,))]


def _read_mask(role: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        from icmass.io.masks import read_masks
        from icmass.sky.map_grid import FineGrid, MapGrid, cluster_frame

        grid = MapGrid(BANDS, 16)
        frame = cluster_frame(RA, DEC, redshift=REDSHIFT, grid=grid)
        masks = read_masks(**{role: path})
        return masks.used(FineGrid(frame, grid, 4))

    return read


def _masks(folder: Path) -> list[Seed]:
    fits.writeto(folder / "mask.fits", np.ones((24, 24), "u1"), _sky_header())
    (folder / "regions.reg").write_text(REGIONS, encoding="ascii")
    catalogue = _table(30)
    for name, values in (("EXT", 0.0), ("EXT_LIKE", 0.0), ("ML_CTS_0", 40.0)):
        catalogue[name] = np.full(30, values)
    catalogue.write(folder / "catalogue.fits")
    return [
        Seed("mask", folder / "mask.fits", _read_mask("image")),
        Seed("regions", folder / "regions.reg", _read_mask("regions"), text=True),
        Seed("catalogue", folder / "catalogue.fits", _read_mask("sources")),
    ]


def _table(n: int) -> Table:
    rng = np.random.default_rng(2)
    table = Table({"ID": [f"cluster {i}" for i in range(n)]})
    table["RA"], table["RA"].unit = RA + rng.normal(0, 0.02, n), "deg"
    table["DEC"], table["DEC"].unit = DEC + rng.normal(0, 0.02, n), "deg"
    table["Z"] = rng.uniform(0.1, 0.5, n)
    table["NH"] = np.full(n, 3e20)
    return table


def _read_table(path: Path) -> object:
    from icmass.errors import InputError
    from icmass.io.cluster_table import read_cluster_table
    from icmass.io.target import check_target

    good = 0
    for target in read_cluster_table(path):
        try:
            check_target(target)
            good += 1
        except InputError:
            continue
    return good


def _tables(folder: Path) -> list[Seed]:
    table = _table(12)
    formats = {"t.fits": "fits", "t.ecsv": "ascii.ecsv", "t.csv": "ascii.csv", "t.vot": "votable"}
    for name, kind in formats.items():
        table.write(folder / name, format=kind)
    table.write(folder / "b.vot", format="votable", tabledata_format="binary")
    seeds = [
        Seed(name, folder / name, _read_table, text=not name.endswith("fits"))
        for name in [*formats, "b.vot"]
    ]
    return [*seeds, _gzipped(seeds[0])]


def _photons(folder: Path) -> list[Seed]:
    lists = importlib.import_module("icmass.io.photon_lists")
    simput = importlib.import_module("icmass.io.simput")
    photon_jobs = importlib.import_module("icmass.survey.observed.photon_jobs")
    layout = photon_jobs.job_layout("magneticum")
    writer = importlib.import_module("icmass.survey.writers.photon_list")
    rng = np.random.default_rng(4)
    n = 60
    job = folder / "jobs" / "snap_128_cluster_313"
    job.mkdir(parents=True)
    writer.write_photon_list(
        folder / "list.fits",
        rng.uniform(0.3, 7, n),
        RA + rng.normal(0, 0.02, n),
        DEC + rng.normal(0, 0.02, n),
        area_cm2=1e4,
        time_s=5000.0,
        ra0=RA,
        dec0=DEC,
        primary={"REDSHIFT": REDSHIFT, "MODE": 3, "SNAPNUM": 128},
        src_name="one",
    )
    shutil.copy(folder / "list.fits", job / "phlist.fits")
    (job / "job.par").write_text("cluster_id 313\nredshift = 0.3\nmode 3\n", encoding="ascii")
    phlist = Seed("phlist", folder / "list.fits", lists.read_photon_list)
    return [
        phlist,
        Seed("simput", folder / "list.fits", simput.read_simput),
        Seed("jobs", folder / "jobs", lambda path: photon_jobs.find_jobs(path, layout), text=True),
        _gzipped(phlist),
    ]


def _read_store(path: Path) -> object:
    from icmass.inference.quality_flags import central_photons
    from icmass.survey.catalog import half_width_mpc_h, open_survey, survey_bands
    from icmass.survey.counts import counts

    survey = open_survey(path)
    survey_bands(survey)
    half_width_mpc_h(survey)
    survey[["redshift", "exposure", "ra", "dec"]].load()
    return counts(survey), central_photons(survey, np.arange(survey.sizes["cluster"]))


def _stores(folder: Path) -> list[Seed]:
    from icmass.io.target import Target
    from icmass.survey.observed.clusters import COMPONENTS, survey_attrs
    from icmass.survey.observed.events import EVENT_NAMES, open_events
    from icmass.survey.store import SurveyWriter

    source = open_events([_event_file(folder / "events.fits")], _grid())  # type: ignore[arg-type]
    attrs = survey_attrs(source.grid, preset="events", seed=0, facts=source.facts)
    writer = SurveyWriter(
        folder / "s.zarr",
        names=EVENT_NAMES,
        n_pixels=16,
        half_width=2.3,
        bands=BANDS,
        attrs=attrs,
        components=COMPONENTS,
    )
    with writer:
        for _, values in source.read([Target(str(i), RA, DEC, REDSHIFT) for i in range(3)]):
            writer.add(values)  # type: ignore[arg-type]
    return [Seed("store", folder / "s.zarr", _read_store, text=True)]


def _models(folder: Path) -> list[Seed]:
    import torch

    from icmass.inference.bundled import model_folder
    from icmass.inference.ensemble import load_ensemble

    torch.set_num_threads(1)

    def read(path: Path) -> object:
        return load_ensemble(path, device="cpu")

    shutil.copytree(model_folder("erass-v2-3band"), folder / "model")
    return [Seed("model", folder / "model", read, text=True)]
