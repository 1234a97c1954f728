"""The comparison with sbi: equal input, densities that are sbi's own, a row for each contender."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

pytest.importorskip("sbi")
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "peer_sbi.py"
sys.path.insert(0, str(SCRIPT.parent))

from peer_sbi import MapsAndScalars, compare, flat_inputs, grid_density, main  # noqa: E402

from icmass.estimators.posterior import LNM_GRID  # noqa: E402
from icmass.training.dihedral import dihedral  # noqa: E402
from icmass.training.encodings import CompactEncoding  # noqa: E402
from icmass.training.sample import read_sample  # noqa: E402


def test_input_is_that_of_our_network(toy_survey: xr.Dataset) -> None:
    sample = read_sample(
        toy_survey,
        np.arange(20),
        sum_bands=False,
        max_pixels=64,
        coverage_channel=False,
        with_nh="nh" in toy_survey,
    )
    encoding = CompactEncoding.fit(sample, np.log(toy_survey["m500c"].values[:20]))
    maps, scalars = encoding.encode(sample)
    flat = flat_inputs(sample, encoding)
    keeps = MapsAndScalars(torch.nn.Flatten(), tuple(maps.shape[1:]), d4=False)
    torch.testing.assert_close(keeps(flat), torch.cat([maps.flatten(1), scalars], 1))


def test_maps_are_turned_in_training_alone_and_numbers_never() -> None:
    torch.manual_seed(1)
    flat = torch.arange(19.0).expand(200, -1)
    embedding = MapsAndScalars(torch.nn.Flatten(), (1, 4, 4), d4=True)
    turned = embedding.train()(flat)
    all_eight = {
        tuple(dihedral(flat[:1, :16].reshape(1, 1, 4, 4), k).flatten().tolist()) for k in range(8)
    }
    assert {tuple(row.tolist()) for row in turned[:, :16]} == all_eight
    assert torch.equal(turned[:, 16:], flat[:, 16:])
    assert torch.equal(embedding.eval()(flat), flat)


@pytest.mark.parametrize("flow", ["nsf", "maf"])
def test_density_is_sbis(flow: str) -> None:
    from sbi.neural_nets import posterior_nn

    torch.manual_seed(2)
    inputs = torch.randn(70, 12)
    ln_m = 32.0 + 0.8 * torch.randn(70, 1)
    embedding = MapsAndScalars(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 4)), (1, 3, 3), d4=True
    )
    estimator = posterior_nn(model=flow, embedding_net=embedding, z_score_x="none")(ln_m, inputs)
    density = grid_density(estimator, inputs)
    nodes = torch.from_numpy(LNM_GRID).float()[:, None, None].expand(-1, 70, -1)
    with torch.no_grad():
        expected = torch.exp(estimator.log_prob(nodes, inputs)).T.numpy()
    np.testing.assert_allclose(density, expected, rtol=1e-3, atol=1e-6)
    assert np.ptp(density, axis=0).max() > 0.01  # it does look at the inputs


def test_rows_of_all_on_the_same_clusters(
    toy_survey: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept: list[list] = []
    rows = compare(
        toy_survey, flow="nsf", folds=2, fit_folds=1, seed=0, max_epochs=1, keep=kept.append
    )
    names = [row["name"] for row in rows]
    assert names == [
        "icm-3band",
        "sbi-nsf-3band",
        "sbi-nsf-3band+d4",
        "icm-1band",
        "sbi-nsf-1band",
    ]
    assert kept[-1] == rows
    assert [len(part) for part in kept] == [1, 2, 3, 4, 5]
    assert len({(row["folds_fitted"], row["n_test"]) for row in rows}) == 1
    spread = np.log(toy_survey["m500c"].values).std()
    for row in rows:
        assert 0 < row["sigma_lnm"] < 3 * spread
        assert row["seconds"] > 0
        assert row["n_parameters"] > 1000
    assert rows[0]["scatter_over_ours"] == rows[3]["scatter_over_ours"] == 1
    json.dumps(rows)
    assert not (tmp_path / "sbi-logs").exists()


def test_a_survey_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path / "no.zarr")])
    with pytest.raises(SystemExit) as ended:
        main()
    said = ended.value.code  # a text: Python prints it and ends with status 1
    assert isinstance(said, str) and "\n" not in said and "no.zarr" in said
