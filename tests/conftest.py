"""Shared fixtures: the real data's folder, and a small survey with the schema of a real one."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

#: One thread for each of pytest's workers and for what they start: more would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings

from icmass.cli import main
from icmass.cosmology import Cosmology
from icmass.survey.blank import blank_survey
from icmass.survey.simulate import simulator

if TYPE_CHECKING:
    from icmass.report.style import Saved

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

BANDS = [(0.5, 1.2), (1.2, 2.0), (2.0, 7.0)]


@dataclass
class Finished:
    """How a command ended: its exit status and what it printed."""

    returncode: int
    stdout: str
    stderr: str


#: What `run_cli` gives, or a part of it: ``partial(run_cli, "ingest", "photons")``.
RunCli = Callable[..., Finished]


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunCli:
    """Run an `icmass` command in this process: ``run_cli("info", path) -> Finished``."""

    def run(*arguments: object, cwd: Path | None = None) -> Finished:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["icmass", *map(str, arguments)])
            if cwd is not None:
                patch.chdir(cwd)
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
            out, err = capfd.readouterr()
            return Finished(int(ended.value.code or 0), out, err)

    return run


def forked(work: Callable[[], object], *, stdout: int, stderr: int) -> int:
    """Do some work in a process of its own, with these as its output; return the process's id.

    It is a fork, which has imported what this process has: that takes others seconds. It ends as a
    command does, and by itself after two minutes.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(120)
        for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
            os.dup2(file, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        # what pytest collects is told to the user again
        logging.root.handlers.clear()
        with warnings.catch_warnings():
            warnings.showwarning = told_warning
            work()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def told_warning(message: object, category: type, filename: str, lineno: int, *_: object) -> None:
    """Print a warning on standard error, as Python does where no test collects it."""
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))  # type: ignore[arg-type]


def forked_command(*words: object, cwd: Path | None = None, **output: int) -> int:
    """Run an `icmass` command in a process of its own; see `forked`."""

    def work() -> None:
        sys.argv = ["icmass", *map(str, words)]
        os.chdir(cwd or ".")
        main()

    return forked(work, **output)


def ended(child: int) -> int:
    """Wait for the end of a process that was started here; return its status as `Popen` has it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, or a skip that says so."""
    path = Path(os.environ.get("ICMASS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real data absent: {path} (set ICMASS_TEST_DATA)")
    return path


def beta_model_survey(n: int = 96, n_pixels: int = 32, seed: int = 0) -> xr.Dataset:
    """Return clusters whose counts follow their mass: Poisson beta-model maps, no simulator."""
    rng = np.random.default_rng(seed)
    cosmo = Cosmology()
    names = ["maps", "m500c", "redshift", "r500c", "exposure", "nh", "halo_id", "snapshot"]
    names += ["position", "T", "L_X", "L_X_soft", "M_gas", "n_phot", "n_phot_r500", "n_phot_2r500"]
    attrs = {
        "preset": "test",
        "cosmology": cosmo.model_dump_json(),
        "seed": seed,
        "version": "test",
        "config": json.dumps({"box_mpc_h": 352.0}),
    }
    survey = blank_survey(
        names, n_clusters=n, n_pixels=n_pixels, half_width=2.3, bands=BANDS, attrs=attrs
    )
    snapshots = np.array([0.066340, 0.137081, 0.212516])
    mu = rng.uniform(np.log(10**13.5), np.log(10**14.8), n)
    survey["snapshot"][:] = rng.integers(3, size=n)
    z = snapshots[survey["snapshot"].values]
    survey["redshift"][:] = z
    survey["m500c"][:] = np.exp(mu)
    survey["r500c"][:] = cosmo.r500c(np.exp(mu), z)
    survey["exposure"][:] = 2000.0
    survey["nh"][:] = 3.0
    survey["halo_id"][:] = np.arange(n)
    survey["position"][:] = rng.uniform(0, 352, (n, 3))
    lnm = mu - np.log(2e14)
    survey["T"][:] = 3.24 * np.exp(0.64 * lnm + 0.07 * rng.normal(size=n))
    survey["M_gas"][:] = 2e13 * np.exp(1.14 * lnm + 0.1 * rng.normal(size=n))
    residual = 0.35 * rng.normal(size=n)
    survey["L_X"][:] = 1.2 * np.exp(1.6 * lnm + residual)
    survey["L_X_soft"][:] = 0.5 * np.exp(1.4 * lnm + residual)
    y, x = np.meshgrid(survey["y"], survey["x"], indexing="ij")
    r = np.hypot(x, y)
    maps = survey["maps"].values
    for i, r500 in enumerate(survey["r500c"].values):
        shape = (1 + (r / (0.2 * r500)) ** 2) ** -1.5
        total = 2000 * np.exp(1.3 * lnm[i] + residual[i]) * (0.2 / z[i]) ** 2
        for b, part in enumerate((0.55, 0.3, 0.15)):
            maps[i, 0, b] = rng.poisson(total * part * shape / shape.sum())
            maps[i, 2, b] = rng.poisson(0.5, shape.shape)
        observed = maps[i].sum((0, 1))
        survey["n_phot"].values[i] = observed.sum()
        survey["n_phot_r500"].values[i] = observed[r <= r500].sum()
        survey["n_phot_2r500"].values[i] = observed[r <= 2 * r500].sum()
    return survey


@pytest.fixture(scope="session")
def toy_survey() -> xr.Dataset:
    return beta_model_survey()


class TasksOneByOne:
    """What `icmass.survey.tasks.Tasks` does with several processes, in this one.

    Work goes through pickle, no simulator is kept from one task to the next, and the last task is
    done first.
    """

    def __init__(self, workers: int) -> None:
        assert workers > 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        simulator.cache_clear()

    def run(self, function: Callable[..., Any], tasks: Sequence[Any], *fixed: Any) -> Iterator[Any]:
        for task in reversed(tasks):
            simulator.cache_clear()
            sent, *given = pickle.loads(pickle.dumps((function, *fixed, task)))
            yield sent(*given)


@pytest.fixture
def workers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process do what workers of surveys would: they take seconds to start."""
    for maker in ("write", "ingest"):
        name = f"icmass.survey.{maker}.Tasks"
        monkeypatch.setattr(name, lambda workers, _: TasksOneByOne(workers))


def save_blank(figure: object, folder: Path, stem: str) -> Saved:
    """Save a figure without rendering it: in place of `icmass.report.figures.save`."""
    from icmass.report.style import Saved

    folder.mkdir(exist_ok=True)
    saved = Saved(folder / f"{stem}.png", folder / f"{stem}.svg")
    for file in (saved.png, saved.svg):
        file.write_text("<svg/>")
    return saved


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the large networks few channels, for speed."""
    from functools import partial

    from icmass.networks.large import LargeNetwork
    from icmass.training.model_specs import MODEL_SPECS, NetworkInputs

    def layers(of: NetworkInputs, has_galaxies: bool) -> LargeNetwork:
        return LargeNetwork(
            n_channels=of.n_channels,
            n_scalars=of.n_scalars,
            n_pixels=of.n_pixels,
            has_galaxies=has_galaxies,
            widths=(8, 8, 16, 16),
            blocks=(1, 1, 1, 1),
            n_hidden=32,
        )

    for name, spec in [*MODEL_SPECS.items()]:
        if "large" in name:
            made = partial(layers, has_galaxies=spec.sees_galaxies)
            monkeypatch.setitem(MODEL_SPECS, name, replace(spec, layers=made))


def with_galaxies(survey: xr.Dataset, seed: int = 4) -> xr.Dataset:
    """Return a survey with a few galaxies, members or not; one cluster has none."""
    rng = np.random.default_rng(seed)
    number = rng.integers(5, 20, survey.sizes["cluster"])
    number[len(number) // 2] = 0
    flat = {axis: rng.uniform(-2.3, 2.3, number.sum()) for axis in "xy"}
    flat |= {"v": 500 * rng.normal(size=number.sum())}
    flat |= {"m_star": 10 ** rng.uniform(9.5, 11.5, number.sum())}
    held = {f"galaxy_{k}": ("galaxy", v.astype("f4")) for k, v in flat.items()}
    held["galaxy_member"] = ("galaxy", rng.integers(2, size=number.sum()).astype("u1"))
    offset = np.concatenate([[0], np.cumsum(number)])
    return survey.assign(held | {"galaxy_offset": ("cluster_edge", offset)})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures, but spare the time to render them."""
    monkeypatch.setattr("icmass.report.figures.save", save_blank)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """Keep every figure's place on the page, but draw nothing: for tests of what the page says."""
    from matplotlib.figure import Figure

    kinds = (
        "gallery colour_gallery overview scatter_bars coverage calibration predicted correlation"
    )
    for kind in kinds.split():
        monkeypatch.setattr(f"icmass.report.figures.draw_{kind}", lambda *_: Figure())
