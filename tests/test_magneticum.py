"""Magneticum's job folders become a survey; a mock that is exported and ingested stays itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.table import Table

from conftest import RunCli
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.io.photon_lists import read_photon_list
from icmass.io.photon_tables import CLUSTER_COLUMNS, JoinedTable, read_table
from icmass.sky.tangent import deproject
from icmass.survey.catalog import galaxies, open_survey
from icmass.survey.counts import counts
from icmass.survey.folds import octant_folds
from icmass.survey.observed.photon_jobs import find_jobs, job_layout, job_targets, read_parameters
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey
from icmass.survey.writers.photon_list import write_photon_list
from icmass.survey.writers.simput import export_simput
from icmass.telescope.instrument import load_instrument
from icmass.universe.velocity_field import hubble_flow

MODES = {"icm": 1, "agn": 2, "observed": 3}
SNAPSHOT, REDSHIFT = 128, 0.137
COSMOLOGY = Cosmology()
LAYOUT = job_layout("magneticum")


@pytest.fixture
def ingest(run_cli: RunCli) -> RunCli:
    """Run `icmass ingest magneticum`."""
    return partial(run_cli, "ingest", "magneticum")


def write_job(
    root: Path,
    cluster: int,
    part: str,
    *,
    at: tuple[float, float] = (0.5, -0.3),
    n: int = 3000,
    primary: dict[str, Any] | None = None,
    par: dict[str, object] | None = None,
) -> Path:
    """Write a job folder: a blob of photons at an offset West and North [comoving Mpc/h]."""
    folder = root / f"{part}_clusters" / f"snap_{SNAPSHOT}_cluster_{cluster}_OG_081121_set"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(cluster)
    x, y = (centre + rng.normal(0, 0.05, n) for centre in at)
    ra, dec = deproject(x, y, centre=(0.0, 0.0), redshift=REDSHIFT, cosmology=COSMOLOGY)
    known = {"SIMUL": "box2_hr", "SNAPNUM": SNAPSHOT, "REDSHIFT": REDSHIFT, "MODE": MODES[part]}
    write_photon_list(
        folder / "phlist.fits", rng.uniform(0.4, 6, n), ra, dec, area_cm2=3000.0, time_s=3000.0,
        primary=known | (primary or {}), ra0=0.0, dec0=0.0, src_name="cluster",
    )  # fmt: skip
    lines = {"SnapNum": f"snap_{SNAPSHOT}", "csv_x": 1000.0 * cluster, "csv_y": 2000.0}
    lines |= {"csv_z": 300_000.0, "csv_vz": 100.0, "csv_m500c": 2e14} | (par or {})
    (folder / "job.par").write_text("".join(f"{k}   {v}\n" for k, v in lines.items()))
    return folder


def test_runs_are_joined_and_laid_on_the_sky(tmp_path: Path, run_cli: Any, ingest: RunCli):
    for cluster in (3, 12):
        for part in ("icm", "agn", "observed"):
            write_job(tmp_path, cluster, part, at=(-1.0, 1.0) if part == "agn" else (0.5, -0.3))
    out = tmp_path / "x.zarr"
    done = ingest(
        tmp_path, "--out", out, "--pixels", 64, "--no-psf", "--no-background", "--no-response"
    )
    assert done.returncode == 0, done.stderr
    survey = open_survey(out)
    assert list(survey["component"].values) == ["icm", "agn", "background"]
    assert survey["halo_id"].values.tolist() == [SNAPSHOT * 10**9 + c for c in (3, 12)]
    assert survey["snapshot"].values.tolist() == [SNAPSHOT] * 2
    assert np.allclose(survey["position"].values, [[3, 2, 300], [12, 2, 300]])
    assert np.allclose(survey["m500c"].values, 2e14)
    assert np.allclose(survey["r500c"].values, COSMOLOGY.r500c(2e14, REDSHIFT))
    for component, (x, y) in {"icm": (0.5, -0.3), "agn": (-1.0, 1.0)}.items():
        image = survey["maps"].sel(component=component).sum(("cluster", "band"))
        assert image.sum() > 200
        assert float((image * survey["x"]).sum() / image.sum()) == pytest.approx(x, abs=0.02)
        assert float((image * survey["y"]).sum() / image.sum()) == pytest.approx(y, abs=0.02)
    assert np.array_equal(survey["n_phot"], counts(survey).sum((1, 2, 3)))
    told = json.loads(run_cli("info", out, "--json").stdout)
    assert told["n_clusters"] == 2 and told["preset"] == "magneticum"
    masses = run_cli("predict", out)
    assert masses.returncode == 0, masses.stderr


def test_what_is_drawn_depends_on_the_cluster_alone(tmp_path: Path, ingest: RunCli):
    for cluster in (3, 12):
        write_job(tmp_path / "both", cluster, "observed")
    write_job(tmp_path / "one", 12, "observed")
    maps = {}
    for name in ("both", "one"):
        assert ingest(tmp_path / name, "--out", tmp_path / f"{name}.zarr").returncode == 0
        maps[name] = open_survey(tmp_path / f"{name}.zarr")["maps"].values
    assert np.array_equal(maps["both"][1], maps["one"][0])
    assert list(open_survey(tmp_path / "one.zarr")["component"].values) == [
        "observed",
        "background",
    ]


def test_a_batch_goes_on_past_bad_clusters(tmp_path: Path, ingest: RunCli):
    for cluster in (1, 2, 3, 4, 5, 6):
        write_job(tmp_path, cluster, "icm")
        if cluster != 6:
            write_job(tmp_path, cluster, "agn")
    file = {c: next(tmp_path.glob(f"icm*/*_cluster_{c}_*/phlist.fits")) for c in range(1, 7)}
    file[2].write_bytes(file[2].read_bytes()[:-6000])
    fits.setval(file[3], "MODE", value=7)
    fits.setval(file[4], "AREA", value=1.0)
    (file[5].parent / "job.par").write_text("SnapNum snap_128\ncsv_m500c 3.2\n")
    done = ingest(tmp_path, "--out", tmp_path / "x.zarr", "--pixels", 32)
    assert done.returncode == 0
    assert open_survey(tmp_path / "x.zarr")["halo_id"].values.tolist() == [SNAPSHOT * 10**9 + 1]
    lines = [line for line in done.stderr.splitlines() if line.startswith("icmass: ")]
    for text in (
        "cluster 2 .*truncated",
        "MODE: is 7",
        "cluster 4 .*AREA|give at most",
        "csv_m500c: is 3.2; give Msun/h",
        "cluster 6 .*lacks a list of its active",
    ):
        assert any(re.search(text, line) for line in lines), (text, lines)
    for name in ("x.zarr.partial", "y.zarr"):
        assert not (tmp_path / name).exists()
    none = ingest(file[2].parent.parent.parent / "agn_clusters", "--out", tmp_path / "y.zarr")
    assert none.returncode == 2 and "none of 5" in none.stderr
    assert not (tmp_path / "y.zarr").exists()


def test_runs_that_do_not_belong_together(tmp_path: Path, ingest: RunCli):
    write_job(tmp_path, 1, "icm")
    write_job(tmp_path, 1, "agn", primary={"REDSHIFT": 0.2})
    done = ingest(tmp_path, "--out", tmp_path / "x.zarr")
    assert "REDSHIFT: is 0.137, that of another run 0.2" in done.stderr
    for name in ("a", "b"):
        write_job(tmp_path / "twice" / name, 1, "icm")
    jobs, _ = find_jobs(tmp_path / "twice", LAYOUT)
    _, failures = job_targets(jobs, cosmology=COSMOLOGY, half_width=2.3)
    assert "another run of the same kind" in str(failures[0][1])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SnapNum snap_128\ncsv_x 1.5e3\n", {"snapnum": "snap_128", "csv_x": "1.5e3"}),
        ("SNAPNUM = 128 # comment\n\n# more\nname = 'a b'", {"snapnum": "128", "name": "b"}),
        ("alone\n", {}),
    ],
)
def test_parameters(tmp_path: Path, text: str, found: dict[str, str]):
    (tmp_path / "job.par").write_text(text)
    assert read_parameters(tmp_path / "job.par") == found
    assert read_parameters(tmp_path / "absent.par") == {}


def test_the_cluster_is_known_by_job_or_folder(tmp_path: Path):
    write_job(tmp_path, 3, "icm", par={"ihal": 77})
    bare = write_job(tmp_path, 4, "icm", primary={"SNAPNUM": "snap_128"})
    (bare / "job.par").unlink()
    jobs, failures = find_jobs(tmp_path, LAYOUT)
    assert not failures and [(job.cluster, job.snapshot) for job in jobs] == [(77, 128), (4, 128)]
    bare.rename(bare.parent / "nameless")
    assert "has no cluster id" in str(find_jobs(tmp_path, LAYOUT)[1][0][1])
    (tmp_path / "void").mkdir()
    for name, message in (("void", r"holds no phlist\.fits"), ("absent", "no such folder")):
        with pytest.raises(InputError, match=message):
            find_jobs(tmp_path / name, LAYOUT)


def cluster_table(file: Path, **columns: Any) -> Path:
    Table(columns).write(file)
    return file


def test_the_centre_is_given(tmp_path: Path, ingest: RunCli):
    """A list whose source is elsewhere is looked at where the options or the table say."""
    write_job(tmp_path / "one", 3, "observed")
    write_job(tmp_path / "two", 3, "observed")
    write_job(tmp_path / "two", 4, "observed")
    done = ingest(tmp_path / "one", "--out", tmp_path / "a.zarr", "--ra", 5, "--dec", 0)
    assert done.returncode == 2
    assert "give the centre (--ra, --dec, or columns ra and dec of" in done.stderr
    nearby = 0.01, -0.01
    args = ("--ra", nearby[0], "--dec", nearby[1])
    assert ingest(tmp_path / "one", "--out", tmp_path / "b.zarr", *args).returncode == 0
    table = cluster_table(tmp_path / "t.csv", ihal=[3, 4], ra=[nearby[0]] * 2, dec=[nearby[1]] * 2)
    done = ingest(tmp_path / "two", "--out", tmp_path / "c.zarr", "--clusters", table)
    assert done.returncode == 0, done.stderr
    for name in ("b.zarr", "c.zarr"):
        survey = open_survey(tmp_path / name)
        assert np.allclose(survey["ra"], nearby[0]) and np.allclose(survey["dec"], nearby[1])
    for more, message in (
        (args, "--ra, --dec: are of one cluster, there are 2; give columns ra and dec"),
        (args[:2], "--ra, --dec: give both or none"),
    ):
        done = ingest(tmp_path / "two", "--out", tmp_path / "d.zarr", *more)
        assert message in done.stderr


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits"])
def test_tables_of_clusters_and_galaxies(tmp_path: Path, suffix: str, ingest: RunCli):
    for cluster in (3, 12):
        write_job(tmp_path, cluster, "observed")
    clusters = cluster_table(
        tmp_path / f"clusters.{suffix}", ihal=[12.0, 3.0, 3.0], SnapNum=[SNAPSHOT, SNAPSHOT, 96],
        M500=[1e14, 3e14, 9e14], R500=[700.0, 1000.0, 1.0e3], T500=[2.0, np.nan, 1.0],
        Lx500=[0.5, 2.0, 3.0], Mgas500=[1e13, 3e13, 9e13],
    )  # fmt: skip
    rng = np.random.default_rng(0)
    n = 300
    dz = rng.normal(0, 1000, n)
    table = cluster_table(
        tmp_path / f"galaxies.{suffix}", cluster_id=np.repeat([3, 12], n),
        snapshot=np.full(2 * n, SNAPSHOT),
        x=np.concatenate([3000 + rng.normal(0, 400, n), np.mod(12000 + np.full(n, 250.0), 352e3)]),
        y=np.concatenate([2000 + rng.normal(0, 400, n), np.mod(2000 - np.full(n, 2100.0), 352e3)]),
        z=np.concatenate([300_000 + dz, np.full(n, 300_000.0)]),
        vz=np.concatenate([100 + rng.normal(0, 300, n), np.full(n, 400.0)]),
        m_star=np.concatenate([np.full(n, 1e10), np.where(np.arange(n) < 100, 1e9, 1e11)]),
    )  # fmt: skip
    out = tmp_path / "x.zarr"
    done = ingest(tmp_path, "--out", out, "--clusters", clusters, "--galaxies", table)
    assert done.returncode == 0, done.stderr
    assert "left out: T (1 clusters have none)" in done.stderr
    survey = open_survey(out)
    assert survey["m500c"].values.tolist() == [3e14, 1e14]
    assert np.allclose(survey["r500c"].values, [1.0, 0.7])
    assert survey["L_X"].values.tolist() == [2.0, 0.5] and "T" not in survey
    last = galaxies(survey, 1)
    assert len(last["x"]) == 200  # those of low mass are out
    assert np.allclose(last["x"], -0.25) and np.allclose(last["y"], -2.1)  # East is to the left
    assert np.allclose(last["v"], 300)
    first = galaxies(survey, 0)
    flow = hubble_flow(REDSHIFT, COSMOLOGY)
    assert np.std(first["v"]) == pytest.approx(np.hypot(300, flow), rel=0.1)
    assert 0 < float(survey["N_gal"][0]) <= len(first["x"])
    assert "galaxy_member" not in survey  # nobody knows


@dataclass
class Mock:
    """A deep mock and its clusters' photons in job folders."""

    survey: xr.Dataset
    folder: Path


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Mock:
    folder = tmp_path_factory.mktemp("mock")
    config = resolve_config("demo", None, ("observe.exposure_s=20000", "observe.n_pixels=32"))
    simulate_survey(config, n_clusters=4, seed=3, out=folder / "mock.zarr")
    survey = open_survey(folder / "mock.zarr")
    for i in range(4):
        for part in ("icm", "agn"):
            job = folder / "jobs" / f"snap_{int(survey['snapshot'][i])}_cluster_{i}_{part}"
            job.mkdir(parents=True)
            export_simput(survey, i, job / "phlist.fits", component=part)
    return Mock(survey, folder)


def test_an_exported_mock_comes_back_as_the_mock(mock: Mock, tmp_path: Path, ingest: RunCli):
    """Counts of gas and nuclei per band and place agree within Poisson's noise."""
    done = ingest(
        mock.folder / "jobs", "--out", tmp_path / "x.zarr", "--exposure", 20000, "--pixels", 32
    )
    assert done.returncode == 0, done.stderr
    back = open_survey(tmp_path / "x.zarr")
    clusters = back["halo_id"].values % 10**9
    for component in ("icm", "agn"):
        first = mock.survey["maps"].sel(component=component).values[clusters].astype(float)
        second = back["maps"].sel(component=component).values.astype(float)
        for axes in ((0, 2, 3), (1, 2, 3), (1, 3), (1, 2)):
            a, b = first.sum(axes), second.sum(axes)
            pull = (a - b) / np.sqrt(a + b + 1)
            assert np.abs(pull).max() < 4.5
            assert 0.4 < np.mean(pull**2) < 2.0 or pull.size < 20
    assert np.allclose(back["redshift"].values, mock.survey["redshift"].values[clusters])
    assert np.allclose(back["nh"].values, mock.survey["nh"].values[clusters])


def test_what_is_exported_is_not_blurred(mock: Mock, tmp_path: Path):
    file = export_simput(mock.survey, 0, tmp_path / "a.fits", area_cm2=2000.0, time_s=1000.0)
    found = read_photon_list(file)
    facts = found.facts
    assert (facts.area_cm2, facts.time_s, facts.mode, facts.simulation) == (2000, 1000, 3, "icmass")
    again = export_simput(mock.survey, 0, tmp_path / "b.fits", area_cm2=2000.0, time_s=1000.0)
    assert np.array_equal(read_photon_list(again).energy, found.energy)
    agn = export_simput(mock.survey, 0, tmp_path / "c.fits", component="agn", time_s=5000.0)
    positions = np.unique(np.round(read_photon_list(agn).ra, 9))
    assert len(positions) < 0.5 * len(read_photon_list(agn))  # points stay points


def test_real_data_is_not_exported(mock: Mock, tmp_path: Path, toy_survey: xr.Dataset):
    for survey, cluster, message in (
        (toy_survey, 0, "holds counts of a telescope, not photons of the sky; export events"),
        (mock.survey, 4, "cluster: is 4; give 0 to 3"),
        (mock.survey.assign(m500c=2 * mock.survey["m500c"]), 0, "this version of icmass"),
    ):
        with pytest.raises(InputError, match=message):
            export_simput(survey, cluster, tmp_path / "x.fits")
    assert not (tmp_path / "x.fits").exists()


def test_the_real_catalogue_is_understood(data_dir: Path):
    table = JoinedTable(
        data_dir / "magneticum" / "magneticum_clusters.csv", CLUSTER_COLUMNS, mass_unit="Msun/h"
    )
    row = table.one(6, None, 0.166964)
    assert row["m500c"] == 4.94005e14 and row["r500c"] == pytest.approx(1.05597)
    assert row["T"] == 6.31768 and row["L_X"] == 7.12626 and row["M_star"] == 1.4855e13
    assert table.one(6, 128, 0.166964) == row  # a table without snapshots is joined by redshift
    assert table.one(6, None, 0.3) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ihal,M500\n1,3.2\n", r"row 1, M500: is 3.2; give 1e\+11 to 1e\+17 Msun/h"),
        ("ihal,x_mpc_h\n1,900000\n", "x_mpc_h"),
        ("ihal,M500\n1,heavy\n", "holds no numbers"),
        ("ihal,M500\n", "has no rows"),
        ("a,b,c\n1\n2,3,4,5,6\n", "not a readable table"),
    ],
)
def test_bad_tables_end_in_one_line(tmp_path: Path, content: str, message: str):
    file = tmp_path / "t.csv"
    file.write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        JoinedTable(file, CLUSTER_COLUMNS, mass_unit="Msun/h")
    assert "t.csv" in str(raised.value) and "\n" not in str(raised.value)


def test_other_kinds_of_tables_are_refused(tmp_path: Path):
    (tmp_path / "t.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=r"ends in '\.pkl'"):
        read_table(tmp_path / "t.pkl")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("M500,T\n1e14,3\n")
    with pytest.raises(InputError, match="no column of cluster ids"):
        JoinedTable(tmp_path / "t.csv", CLUSTER_COLUMNS, mass_unit="Msun/h").check_ids()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("cluster_id,snapshot,v_los,m_star\n3,128,1,1e10\n", "no columns dx, dy"),
        ("cluster_id,snapshot,dx,dy,m_star\n3,128,1,1,1e10\n", "no column v_los or vz"),
        ("cluster_id,snapshot,dx,dy,v_los\n3,128,1,1,1\n", "no column m_star"),
        ("cluster_id,snapshot,dx,dy,v_los,m_star\n3,128,.1,.2,1,1e10\n", "dx_mpc_h"),
        ("cluster_id,snapshot,dx,dy,v_los,m_star\n4,128,1,2,1,1e10\n", "no galaxy of cluster 3"),
        ("cluster_id,snapshot,x,y,vz,m_star\n3,128,1,2,1,1e10\n", "vz needs z"),
    ],
)
def test_bad_galaxies(tmp_path: Path, header: str, message: str, ingest: RunCli):
    write_job(tmp_path, 3, "observed")
    (tmp_path / "g.csv").write_text(header)
    done = ingest(tmp_path, "--out", tmp_path / "x.zarr", "--galaxies", tmp_path / "g.csv")
    assert done.returncode == 2 and message in done.stderr


def test_folds_are_octants_of_the_box(tmp_path: Path, ingest: RunCli):
    """An id counts from the heaviest halo of its snapshot: the same id later is another halo."""
    corners = np.array(np.meshgrid(*[[50e3, 250e3]] * 3)).reshape(3, -1).T
    for cluster, (x, y, z) in enumerate(corners):
        write_job(tmp_path, cluster, "observed", n=200, par={"csv_x": x, "csv_y": y, "csv_z": z})
    done = ingest(tmp_path, "--out", tmp_path / "x.zarr", "--pixels", 16)
    assert done.returncode == 0, done.stderr
    assert sorted(octant_folds(open_survey(tmp_path / "x.zarr"))) == list(range(8))


def test_the_most_that_a_list_can_show(tmp_path: Path, ingest: RunCli):
    write_job(tmp_path, 3, "observed")
    longest = np.floor(3000.0 * 3000.0 / load_instrument("erosita").area.area_cm2.max())
    done = ingest(tmp_path, "--out", tmp_path / "x.zarr", "--exposure", 2 * longest)
    assert f"--exposure: {2 * longest:g} s is more" in done.stderr
    assert f"give at most {longest:g} s" in done.stderr
