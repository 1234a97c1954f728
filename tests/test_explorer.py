"""The explorer's numbers: what a page decodes is what survey and estimators say."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from conftest import beta_model_survey
from explorer_pages import EVIL, made_up, write_page
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.report.explorer.contents import Attributions, Part
from icmass.report.explorer.encoding import Pieces, Table
from icmass.report.explorer.maps import pack_attributions, pack_maps
from icmass.report.explorer.pack import NODES, pack, tabulate
from icmass.run.attributions import AttributionMaps
from icmass.survey.counts import counts


def inflated(pieces: Pieces, i: int) -> bytes | None:
    """Decode one piece as the page does: a part of the base64 text."""
    start, length = int(pieces.starts[i]), int(pieces.lengths[i])
    if not length:
        return None
    text = pieces.text()[start // 3 * 4 : (start // 3 + -(-length // 3)) * 4]
    return zlib.decompress(base64.b64decode(text)[:length], -15)


def decoded(raw: bytes, bands: int, side: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return counts (band, y, x) and mask of a piece, from its description in `PackedMaps`."""
    held = np.frombuffer(raw, "u1")
    size = bands * side**2
    values = held[1 : 1 + size].astype(int)
    at = 1 + size
    if held[0] & 1:
        values = values + 256 * held[at : at + size].astype(int)
        at += size
    mask = held[at:].reshape(side, side).astype(bool) if held[0] & 2 else None
    return values.reshape(bands, side, side), mask


def arrays(text: str, head: dict) -> dict[str, np.ndarray]:
    raw = gzip.decompress(base64.b64decode(text))
    return {
        name: np.frombuffer(raw, f"<{kind}", n, start)
        for name, (kind, start, n) in head["arrays"].items()
    }


def whole(survey: xr.Dataset) -> list[Part]:
    return [Part("survey", survey, np.arange(survey.sizes["cluster"]))]


def test_every_photon_is_in_the_page(toy_survey: xr.Dataset) -> None:
    survey = toy_survey.copy(deep=True)
    survey["maps"][4, 0, 1, 10, 12] = 40_000  # more than a byte holds
    packed = pack_maps(whole(survey), [survey["r500c"].values])
    assert (packed.factor, packed.stride) == (1, 1)
    for i in (0, 4, 95):
        found, mask = decoded(inflated(packed.pieces, i), 3, 32)
        np.testing.assert_array_equal(found, counts(survey, np.array([i]))[0])
        assert mask is None


def test_masked_pixels_are_told(toy_survey: xr.Dataset) -> None:
    coverage = np.ones((96, 32, 32), "f2")
    coverage[7, :5, 20:] = 0
    survey = toy_survey.assign(coverage=(("cluster", "y", "x"), coverage))
    packed = pack_maps(whole(survey), [survey["r500c"].values])
    _, mask = decoded(inflated(packed.pieces, 7), 3, 32)
    np.testing.assert_array_equal(mask, coverage[7] == 0)
    assert decoded(inflated(packed.pieces, 8), 3, 32)[1] is None


def test_a_page_that_would_be_too_large_has_larger_pixels_then_fewer_maps() -> None:
    survey = beta_model_survey(n=40, n_pixels=64, seed=3)
    parts, radius = whole(survey), [survey["r500c"].values]
    full = pack_maps(parts, radius)
    budget = full.pieces.size * 3 // 4
    binned = pack_maps(parts, radius, budget)
    assert (full.factor, binned.factor, binned.stride) == (1, 2, 1)
    assert binned.pieces.size <= budget
    found, _ = decoded(inflated(binned.pieces, 11), 3, 32)
    expected = counts(survey, np.array([11]))[0].reshape(3, 32, 2, 32, 2).sum((2, 4))
    np.testing.assert_array_equal(found, expected)
    few = pack_maps(parts, radius, budget // 8)
    assert few.stride > 1 and few.pieces.size <= budget // 8
    kept = np.flatnonzero(few.pieces.lengths)
    np.testing.assert_array_equal(kept, np.arange(0, 40, few.stride))


def test_photons_within_r500c_are_counted_by_component_and_band(toy_survey: xr.Dataset) -> None:
    packed = pack_maps(whole(toy_survey), [toy_survey["r500c"].values])
    y, x = np.meshgrid(toy_survey["y"], toy_survey["x"], indexing="ij")
    inside = np.hypot(x, y) <= float(toy_survey["r500c"][9])
    by_hand = toy_survey["maps"].values[9][..., inside].sum(-1)
    np.testing.assert_array_equal(packed.inside[0][9], by_hand)
    total = packed.inside[0].sum((1, 2))
    np.testing.assert_array_equal(total, toy_survey["n_phot_r500"].values)


def test_arrays_lie_where_a_typed_array_can_begin() -> None:
    table, values = Table(), np.linspace(-3, 5, 7)
    table.add("bytes", np.arange(5), "u1")
    table.add("floats", values, "f4")
    assert all(start % 8 == 0 for _, start, _ in table.arrays.values())
    found = arrays(table.text(), {"arrays": table.arrays})
    np.testing.assert_array_equal(found["bytes"], np.arange(5))
    np.testing.assert_array_equal(found["floats"], values.astype("f4"))
    with pytest.raises(ValueError, match="bytes"):
        table.add("bytes", values, "f4")


def test_a_tabulated_posterior_keeps_its_shape() -> None:
    """Within half a step of 255, and the curvature of a Gaussian between nodes 0.02 apart."""
    mean, std = np.array([31.0, 33.2]), np.array([0.1, 0.35])
    low, high, nodes = tabulate(Prediction.from_density(Prediction(mean, std).tabulated()))
    for k in range(2):
        at = np.linspace(low[k], high[k], NODES)
        exact = np.exp(-(((at - mean[k]) / std[k]) ** 2) / 2)
        np.testing.assert_allclose(nodes[k] / 255, exact / exact.max(), atol=0.008)
        # nothing above a thousandth of the peak is outside: sqrt(2 ln 1000) = 3.72 sigma
        assert low[k] < mean[k] - 3.71 * std[k] < mean[k] + 3.71 * std[k] < high[k]
    assert low.min() >= LNM_GRID[0] and high.max() <= LNM_GRID[-1]


def test_attributions_keep_bright_and_faint_pixels() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(0, 1, (3, 32, 32)) ** 5 * 1e-4
    packed = pack_attributions(Attributions("net", np.array([0, 2, 5]), maps), 6)
    assert packed.side == 32 and inflated(packed.pieces, 1) is None
    for k, row in enumerate((0, 2, 5)):
        q = np.frombuffer(inflated(packed.pieces, row), "i1").reshape(32, 32) / 127
        found = np.sign(q) * q**2 * packed.largest[row]
        # a step of sqrt(share) is 1/127, half of it is the largest error of the root
        root = np.sqrt(np.abs(found)) - np.sqrt(np.abs(maps[k]))
        assert np.abs(root).max() <= 0.501 / 127 * np.sqrt(packed.largest[row])
        assert found.sum() == pytest.approx(maps[k].sum(), abs=0.01 * np.abs(maps[k]).sum())
    small = pack_attributions(Attributions("net", np.arange(3), maps), 3, budget=1000)
    assert small.side == 16


def test_what_is_packed_is_what_the_estimators_say(toy_survey: xr.Dataset) -> None:
    contents = made_up(toy_survey)
    texts = pack(contents).texts
    head = json.loads(gzip.decompress(base64.b64decode(texts["head"])))
    held = arrays(texts["table"], head)
    network, count = contents.estimates
    np.testing.assert_allclose(held["estimate.0.mean"], network.prediction.mean, rtol=1e-7)
    np.testing.assert_allclose(held["estimate.1.std"], count.prediction.std, rtol=1e-6)
    levels = held["estimate.0.quantiles"].reshape(96, 5)
    np.testing.assert_allclose(levels[:, 3], network.prediction.quantile(0.84), rtol=1e-7)
    np.testing.assert_allclose(held["truth"], np.log(toy_survey["m500c"]), rtol=1e-7)
    # R500c of 1e14 Msun/h, of which the page makes that of any mass
    radius = held["radius"] * np.exp((held["truth"] - np.log(1e14)) / 3)
    np.testing.assert_allclose(radius, toy_survey["r500c"], rtol=1e-5)
    assert head["estimates"][head["first"]]["name"] == "network"
    assert head["reasons"] == {"3": [f"off-centre: {EVIL}"]}
    assert head["parts"][0]["h"] == 0.704
    units = {each["key"]: each["unit"] for each in head["properties"]}
    assert units["M_gas"] == "Msun/h" and units["T"] == "keV" and units["L_X"] == "10⁴⁴ erg/s"
    assert head["start"] != 3


def test_a_page_lets_its_own_script_run_and_no_other(toy_survey: xr.Dataset, tmp_path) -> None:
    text = write_page(made_up(toy_survey.isel(cluster=slice(8))), tmp_path / "a.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert EVIL not in text and "eval(" not in script and "new Function" not in script
    data = re.findall(r'<script type="text/plain" id="explorer-[\w-]+">(.*?)</script>', text, re.S)
    assert len(data) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9+/=]*", block) for block in data)
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_the_same_contents_give_the_same_page(toy_survey: xr.Dataset, tmp_path: Path) -> None:
    few = toy_survey.isel(cluster=slice(8))
    one, two = (write_page(made_up(few), tmp_path / f"{k}.html").read_bytes() for k in "ab")
    assert one == two


def test_attribution_maps_of_a_run_add_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1e-3, (5, 3, 128, 128))
    maps = AttributionMaps.join(
        [
            AttributionMaps.of(np.array([7, 4]), values[:2]),
            AttributionMaps.of(np.array([1, 9, 2]), values[2:]),
        ]
    )
    maps.write(tmp_path / "net-maps.npz")
    held = AttributionMaps.read(tmp_path / "net-maps.npz")
    np.testing.assert_array_equal(held.cluster, [1, 2, 4, 7, 9])
    assert held.maps.shape == (5, 64, 64)
    # half precision: 2^-11 of each of 4096 pixels of about 3.5e-3
    sums = values.sum((1, 2, 3))[[2, 4, 1, 0, 3]]
    np.testing.assert_allclose(held.maps.astype("f8").sum((1, 2)), sums, atol=1e-3)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"cluster": np.array([1, 1])}, "which clusters"),
        ({"maps": np.zeros((2, 4))}, "no maps"),
        ({"maps": np.full((2, 4, 4), np.nan)}, "no number"),
        ({"maps": np.array([{}, {}], object)}, "not readable"),
    ],
)
def test_damaged_attribution_maps_are_refused(tmp_path: Path, damage: dict, said: str) -> None:
    file = tmp_path / "maps.npz"
    np.savez(file, **({"cluster": np.arange(2), "maps": np.zeros((2, 4, 4))} | damage))
    with pytest.raises(InputError, match=said):
        AttributionMaps.read(file)
