"""The selection function: against the detection step itself, as a table, between its nodes."""

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.observe.morphology import morphology
from icmass.survey.observatory import Observatory
from icmass.survey.presets import resolve_config
from icmass.survey.selection import Selection, cylinder_share
from icmass.survey.selection_function import SelectionFunction
from icmass.survey.selection_grid import (
    MIN_HALOS,
    SelectionGrid,
    draw_halos,
    halo_at,
    tabulate_selection,
)
from icmass.universe.gas import make_gas

GRID = SelectionGrid(
    m500c=(3e13, 6e13, 1.2e14, 2.4e14, 4.8e14, 9.6e14),
    redshift=(0.1, 0.2, 0.35),
    exposure=(100.0, 300.0, 1000.0),
    nh=(0.5, 8.0, 50.0),
)
HALOS = 120


@pytest.fixture(scope="module")
def config():
    return resolve_config("erass1")


@pytest.fixture(scope="module")
def function(config):
    return tabulate_selection(config, seed=3, n_halos=HALOS, grid=GRID)


@pytest.fixture(scope="module")
def selection(config):
    return Selection(config.detection, Observatory(config), config.cosmology)


def direct(config, selection, mass, redshift, exposure, nh, *, seed=3, n=HALOS):
    """Probability and concentration of halos at one place, each by `Selection.probability`."""
    halos = [halo_at(h, mass, redshift, config.cosmology) for h in draw_halos(config, seed, n)]
    gases = [make_gas(halo, config.gas, config.cosmology) for halo in halos]
    found = [
        selection.probability(halo, gas, exposure=exposure, nh_1e20=nh)
        for halo, gas in zip(halos, gases, strict=True)
    ]
    signals = [selection.signal(h, g, [nh]) for h, g in zip(halos, gases, strict=True)]
    return np.array(found), np.array([signal.concentration for signal in signals])


def test_nodes_are_means_of_the_detection_step(config, function, selection):
    found, _ = direct(config, selection, 1.2e14, 0.2, 300.0, 8.0)
    assert function(1.2e14, 0.2, 300.0, 8.0) == pytest.approx(found.mean(), rel=1e-6)
    error = found.std(ddof=1) / np.sqrt(HALOS)
    assert function.error(1.2e14, 0.2, 300.0, 8.0) == pytest.approx(error, rel=0.02)
    assert 0.1 < found.mean() < 0.9


def test_other_halos_agree_within_the_errors(config, function, selection):
    """Between the nodes too, with halos of another seed."""
    for place in [(1.6e14, 0.27, 200.0, 4.0), (8.5e13, 0.15, 500.0, 20.0)]:
        found, _ = direct(config, selection, *place, seed=9, n=300)
        error = np.hypot(found.std() / np.sqrt(len(found)), function.error(*place))
        assert error > 0.01
        assert abs(function(*place) - found.mean()) < 3 * error


def test_rises_with_mass_and_exposure_and_falls_with_absorption(function):
    for axis, sign in ((0, 1), (2, 1), (3, -1)):
        steps = sign * np.diff(function.marginal[0], axis=axis)
        assert (steps >= -1e-9).all()
        assert steps.max() > 0.05
    mass = np.geomspace(3e13, 9.6e14, 50)
    assert (np.diff(function(mass, 0.2, 250.0, 3.0)) > 0).all()


def test_nothing_and_everything_are_the_limits(function):
    assert function(3e13, 0.35, 100.0, 50.0) < 0.01
    assert function(9.6e14, 0.1, 1000.0, 0.5) > 0.999
    assert ((function.probability >= 0) & (function.probability <= 1)).all()


def test_concentrations_average_to_all_of_them(config, function, selection):
    place = (1.2e14, 0.2, 300.0, 8.0)
    found, concentration = direct(config, selection, *place)
    at = function(*place, concentration)
    assert np.isfinite(at).all()
    assert at.mean() == pytest.approx(float(function(*place)), abs=2 * function.error(*place))
    assert at.std() > 3 * float(function.error(*place))  # it tells halos apart
    assert np.corrcoef(at, found)[0, 1] > 0.2
    share = function.n_halos / function.n_halos.sum()
    i, j, k, m = 2, 1, 1, 1
    assert function.probability[i, j, k, m] @ share == pytest.approx(float(function(*place)))


def test_the_bins_hold_their_shares(function):
    assert function.n_halos.sum() == HALOS
    assert (function.concentration_low <= function.concentration).all()
    assert (function.concentration <= function.concentration_high).all()
    assert (np.diff(function.concentration, axis=-1) > 0).all()


def test_outside_of_the_grid_is_nan_and_the_impossible_an_error(function):
    inside = (1e14, 0.2, 300.0, 3.0)
    for i, beyond in enumerate((1e13, 0.5, 2000.0, 60.0)):
        place = [*inside]
        place[i] = beyond
        assert np.isnan(function(*place))
        assert np.isnan(function.error(*place))
    assert np.isnan(function(*inside, 0.9999))
    assert np.isnan(function(np.nan, *inside[1:]))
    assert np.isfinite(function(1e14 * (1 + 1e-14), 0.1 * (1 - 1e-14), 300.0, 0.5))
    with pytest.raises(InputError, match="m500c: 0 is impossible"):
        function(0, *inside[1:])
    with pytest.raises(InputError, match="nh: -1 is impossible"):
        function(1e14, 0.2, 300.0, -1)
    with pytest.raises(InputError, match="do not broadcast"):
        function(np.ones(2), np.ones(3), 300.0, 3.0)
    with pytest.raises(InputError, match="exposure: is in m; give s"):
        function(1e14, 0.2, 300 * u.m, 3.0)


def test_quantities_and_shapes(function):
    h = function.cosmology.h
    plain = function(1e14, 0.2, 300.0, 3.0)
    assert isinstance(plain, float)
    given = function(1e14 / h * u.Msun, 0.2, 5 * u.min, 3e20 / u.cm**2)
    assert given == pytest.approx(plain, rel=1e-9)
    wide = function(np.full((4, 1), 1e14), np.full(5, 0.2), 300.0, 3.0, 0.2)
    assert wide.shape == (4, 5)
    assert function([], 0.2, 300.0, 3.0).shape == (0,)


def test_half_completeness_inverts_the_function(function):
    mass = function.mass_at(0.5, np.array([0.1, 0.2]), 300.0, 3.0)
    assert function(mass, [0.1, 0.2], 300.0, 3.0) == pytest.approx(0.5, abs=1e-3)
    assert np.isnan(function.mass_at(0.999999, 0.35, 100.0, 50.0))


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot"])
def test_round_trip(function, tmp_path, suffix):
    path = function.write(tmp_path / f"table{suffix}")
    again = SelectionFunction.read(path)
    for name in ("m500c", "redshift", "exposure", "nh", "probability", "probability_error"):
        assert getattr(again, name) == pytest.approx(getattr(function, name), rel=1e-12, abs=0)
    place = (1.3e14, 0.17, 250.0, 5.0, 0.2)
    assert again(*place) == pytest.approx(function(*place), rel=1e-9)
    assert again.error(*place) == pytest.approx(function.error(*place), rel=1e-9)
    assert again.cosmology == function.cosmology
    assert again.meta["preset"] == "erass1"
    assert int(again.meta["seed"]) == 3
    assert json.loads(again.meta["detect"])["extent_likelihood"] == 3
    assert json.loads(again.meta["config"])["preset"] == "erass1"


def test_the_table_says_its_units(function, tmp_path):
    table = Table.read(function.write(tmp_path / "t.ecsv"))
    assert table["exposure"].unit == u.s
    assert table["nh"].unit == u.cm**-2
    assert table["m500c_msun"].unit == u.Msun
    ratio = table["m500c_msun_h"] / table["m500c_msun"].value
    assert ratio == pytest.approx(Cosmology().h)
    assert "Msun/h" in table["m500c_msun_h"].description
    assert "0.1 R500c" in table["concentration"].description
    assert len(table) == function.probability.size


def test_tables_that_are_none_are_refused(function, tmp_path):
    path = function.write(tmp_path / "t.ecsv")
    table = Table.read(path)
    for name, damaged in {
        "short": table[:-1],
        "shuffled": table[::-1],
        "column": Table([table["redshift"]]),
    }.items():
        damaged.write(tmp_path / f"{name}.ecsv")
        with pytest.raises(InputError, match=f"{name}.ecsv"):
            SelectionFunction.read(tmp_path / f"{name}.ecsv")
    table.meta.pop("om0")
    table.write(tmp_path / "nowhere.ecsv")
    with pytest.raises(InputError, match="cosmology"):
        SelectionFunction.read(tmp_path / "nowhere.ecsv")
    with pytest.raises(InputError, match="no such file"):
        SelectionFunction.read(tmp_path / "none.ecsv")
    with pytest.raises(InputError, match="is no table"):
        SelectionFunction.read(tmp_path / "t.txt")


def test_a_seed_gives_one_table_whatever_the_workers(config):
    grid = SelectionGrid((1e14, 2e14), (0.2, 0.3), (300.0,), (3.0,))
    first, again, other = (
        tabulate_selection(config, seed=seed, n_halos=MIN_HALOS, grid=grid, workers=workers)
        for seed, workers in ((1, 1), (1, 2), (2, 1))
    )
    assert np.array_equal(first.probability, again.probability)
    assert not np.array_equal(first.probability, other.probability)


def test_an_axis_of_one_node_is_no_axis(config):
    grid = SelectionGrid((1e14, 2e14), (0.2,), (300.0,), (3.0,))
    function = tabulate_selection(config, n_halos=MIN_HALOS, grid=grid)
    assert np.isfinite(function(1.5e14, 0.2, 300.0, 3.0))
    assert np.isnan(function(1.5e14, 0.21, 300.0, 3.0))


def test_every_preset_that_detects_has_a_grid():
    for preset, axes in {"erass1": (17, 13, 6, 5), "erass8": (17, 13, 6, 5)}.items():
        grid = SelectionGrid.of(resolve_config(preset))
        assert tuple(len(v) for v in (grid.m500c, grid.redshift, grid.exposure, grid.nh)) == axes
    fixed = SelectionGrid.of(resolve_config("efeds"))
    assert fixed.exposure[0] == 1200
    assert fixed.exposure[-1] == 3000


@pytest.mark.parametrize(
    ("axis", "values"),
    [("m500c", (2e14, 1e14)), ("redshift", (0.0, 0.1)), ("exposure", ()), ("nh", (np.nan,))],
)
def test_bad_grids_are_refused(axis, values):
    axes = {"m500c": (1e14,), "redshift": (0.1,), "exposure": (300.0,), "nh": (3.0,)}
    with pytest.raises(InputError, match=axis):
        SelectionGrid(**{**axes, axis: values})


def test_presets_without_detection_have_no_selection_function():
    with pytest.raises(InputError, match="detection: preset erosita keeps all halos"):
        tabulate_selection(resolve_config("erosita"))


def test_share_of_shells_within_a_cylinder():
    """Against points drawn evenly in a shell."""
    rng = np.random.default_rng(0)
    n = 200_000
    r = np.cbrt(rng.uniform(0.5**3, 1.5**3, n))
    across = r * np.sqrt(1 - rng.uniform(-1, 1, n) ** 2)
    for radius in (0.3, 0.8, 1.2):
        share = np.mean(across < radius)
        error = np.sqrt(share * (1 - share) / n)
        found = cylinder_share(np.array([0.5, 1.5]), radius)[0]
        assert found == pytest.approx(share, abs=4 * error)
    assert cylinder_share(np.array([0.2, 0.3, 0.4]), 1.0).tolist() == [1, 1]


def test_concentration_is_that_of_images(config, selection):
    """Spherical gas, drawn as points in a fine image and measured there."""
    rng = np.random.default_rng(1)
    halo = halo_at(draw_halos(config, 1, 1)[0], 3e14, 0.2, config.cosmology)
    gas = make_gas(halo, config.gas, config.cosmology)
    signal = selection.signal(halo, gas, [3.0])
    cooling = selection.observatory.table.cooling_function(gas.kt_kev, gas.abundance, 0.6, 2.4)
    power = gas.emission_measure * cooling
    n = 400_000
    shell = rng.choice(len(power), n, p=power / power.sum())
    r = np.cbrt(rng.uniform(gas.edges[shell] ** 3, gas.edges[shell + 1] ** 3))
    direction = rng.standard_normal((n, 3))
    x, y, _ = (r[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]).T
    image, _, _ = np.histogram2d(y, x, bins=400, range=[(-1.1, 1.1)] * 2)
    kpc = 1e5  # radius in kpc is not asked for
    found = morphology(image[None], 1.0, half_width=1.1, kpc_per_mpc_h=kpc, centre=np.zeros((1, 2)))
    assert signal.concentration == pytest.approx(found.concentration_01[0], rel=0.02)


def test_command(run_cli, tmp_path):
    out = tmp_path / "selection.fits"
    small = ["--halos", 60, "--m500c", "1e14,2e14,4e14", "--redshift", "0.1,0.3"]
    small += ["--exposure", 300, "--nh", 3]
    done = run_cli("selection", "erass1", "--out", out, *small, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == 3 * 2 * 7
    assert found["preset"] == "erass1"
    function = SelectionFunction.read(out)
    half = found["half_detected"]["rows"][1]
    mass = 1e14 * half["m500c_1e14_msun_h"]
    assert function(mass, 0.3, 300.0, 3.0) == pytest.approx(0.5, abs=0.01)
    assert half["m500c_1e14_msun"] == pytest.approx(half["m500c_1e14_msun_h"] / 0.704)
    again = run_cli("selection", "erass1", "--out", out, *small, "--overwrite")
    assert again.returncode == 0
    assert "42 rows" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["erosita"], "keeps all halos"),
        (["nothing"], "unknown preset"),
        (["erass1", "--m500c", "1e14,heavy"], "no list of numbers"),
        (["erass1", "--redshift", "0.3,0.1"], "does not ascend"),
        (["erass1", "--halos", "5"], "too few"),
    ],
)
def test_bad_input_ends_in_one_line(run_cli, tmp_path, arguments, words):
    done = run_cli("selection", *arguments, "--out", tmp_path / "t.ecsv")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "t.ecsv").exists()


def test_bad_table_names_are_refused_first(run_cli, tmp_path):
    done = run_cli("selection", "erass1", "--out", tmp_path / "t.txt")
    assert done.returncode == 2
    assert "is no table" in done.stderr
    (tmp_path / "t.fits").touch()
    done = run_cli("selection", "erass1", "--out", tmp_path / "t.fits")
    assert done.returncode == 2
    assert "exists already" in done.stderr
