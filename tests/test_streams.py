"""Training on clusters that are read from stores, or simulated, while the network trains."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import beta_model_survey
from icmass.errors import InputError
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.registry import load_estimator
from icmass.survey.catalog import open_survey
from icmass.training import streaming
from icmass.training.config import TrainingConfig
from icmass.training.devices import Processes, make_accelerator
from icmass.training.kept_blocks import KeptBlocks
from icmass.training.sample import Sample, read_sample
from icmass.training.sources import buffered, concatenated, narrowed
from icmass.training.streaming import StoredClusters, StreamSource, cluster_bytes

OPTIONS = {
    "sum_bands": True,
    "max_pixels": None,
    "coverage_channel": False,
    "with_nh": True,
    "with_parts": True,
}
CONFIG = TrainingConfig(batch_size=16, max_epochs=2, patience=None, learning_rate=1e-3)
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three stores of 90 clusters each, with other clusters in each."""
    folder = tmp_path_factory.mktemp("stores")
    for seed, name in enumerate(NAMES):
        survey = beta_model_survey(90, n_pixels=32, seed=seed)
        survey.to_zarr(folder / f"{name}.zarr")
    return [folder / f"{name}.zarr" for name in NAMES]


def stored(stores: list[Path], **sizes: int) -> StoredClusters:
    surveys = [open_survey(path) for path in stores]
    train = [np.arange(90), np.arange(5, 80), np.array([3, 4, 60, 88])]
    return StoredClusters(surveys, train, OPTIONS, seed=3, **({"block": 16, "buffer": 40} | sizes))


def started(clusters: StoredClusters, rank: int = 0, number: int = 1) -> StreamSource:
    source = clusters.source(lambda lnm: torch.from_numpy(lnm))
    processes = Processes(make_accelerator("cpu"))
    processes.rank, processes.number = rank, number
    source.start(processes, torch.device("cpu"), CONFIG.batch_size)
    return source


def epoch(source: StreamSource, number: int) -> tuple[Sample, np.ndarray, list[int]]:
    buffers = list(source.buffers(number))
    sample = concatenated([sample for sample, _ in buffers])
    return sample, torch.cat([lnm for _, lnm in buffers]).numpy(), [len(t) for _, t in buffers]


def test_an_epoch_of_a_stream_is_every_cluster_once(stores: list[Path]) -> None:
    clusters = stored(stores)
    source = started(clusters)
    sample, lnm, sizes = epoch(source, 0)
    everyone = np.sort(np.log(clusters.table["m500c"].values))
    np.testing.assert_array_equal(np.sort(np.concatenate([lnm, clusters.validation[1]])), everyone)
    assert len(everyone) == clusters.n_train == 90 + 75 + 4
    assert len(source) == len(lnm) == len(everyone) - clusters.n_held
    assert 0.05 < clusters.n_held / len(everyone) < 0.15
    assert all(size % CONFIG.batch_size == 0 and size >= 32 for size in sizes[:-1])
    assert len(sizes) > 2
    again, once_more = epoch(source, 0), epoch(source, 1)
    np.testing.assert_array_equal(again[1], lnm)
    assert torch.equal(again[0].counts, sample.counts)
    assert not np.array_equal(once_more[1], lnm)
    np.testing.assert_array_equal(np.sort(once_more[1]), np.sort(lnm))


def test_the_clusters_of_a_stream_are_those_of_the_stores(stores: list[Path]) -> None:
    """Counts, components and redshifts of every cluster, known by its mass."""
    sample, lnm, _ = epoch(started(stored(stores)), 0)
    assert sample.parts is not None
    surveys = [beta_model_survey(90, n_pixels=32, seed=seed) for seed in range(3)]
    masses = np.log(np.concatenate([survey["m500c"].values for survey in surveys]))
    order = np.argsort(masses)
    rows = order[np.searchsorted(masses[order], lnm)]
    np.testing.assert_array_equal(masses[rows], lnm)
    maps = np.concatenate([survey["maps"].values for survey in surveys])[rows].astype("i4")
    np.testing.assert_array_equal(sample.counts.int().numpy(), maps.sum((1, 2))[:, None])
    np.testing.assert_array_equal(sample.parts.int().numpy(), maps.sum(2)[:, :, None])
    redshift = np.concatenate([survey["redshift"].values for survey in surveys])[rows]
    np.testing.assert_array_equal(sample.redshift.numpy(), redshift.astype("f4"))


def same(one: Sample, other: Sample) -> bool:
    pairs = list(zip(one.tensors(), other.tensors(), strict=True))
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def test_later_epochs_read_what_the_first_kept(
    stores: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read from the stores twice, and an epoch is to the bit what it was."""
    sources = [started(stored(stores)) for _ in range(2)]
    plain = epoch(sources[0], 0), epoch(sources[0], 1)
    monkeypatch.setattr(KeptBlocks, "read", lambda kept, number: None)
    unkept = epoch(sources[1], 0), epoch(sources[1], 1)
    for (found, lnm, _), (expected, expected_lnm, _) in zip(plain, unkept, strict=True):
        assert same(found, expected)
        np.testing.assert_array_equal(lnm, expected_lnm)
    monkeypatch.undo()
    monkeypatch.setattr(StoredClusters, "read", lambda *_: pytest.fail("read twice"))
    assert same(epoch(sources[0], 1)[0], plain[1][0])


def test_blocks_are_kept_as_far_as_there_is_room(stores: list[Path], tmp_path: Path) -> None:
    sample = stored(stores).validation[0]
    roomy, full, broken = KeptBlocks(), KeptBlocks(room=100), KeptBlocks()
    for kept in (roomy, full):
        kept.keep(3, sample)
    read = roomy.read(3)
    assert read is not None and same(read, sample) and len(roomy) == 1
    assert full.read(3) is None and len(full) == 0
    broken._file = lambda number: tmp_path / "no" / "folder"  # type: ignore[method-assign]
    broken._room = 10**9
    broken.keep(1, sample)
    assert broken.read(1) is None and broken._room == 0


def test_halos_held_out_are_not_trained_on(tmp_path: Path) -> None:
    survey = beta_model_survey(96, n_pixels=16)
    survey["halo_id"][:] = np.arange(96) // 4
    survey.to_zarr(tmp_path / "x.zarr")
    opened = open_survey(tmp_path / "x.zarr")
    clusters = StoredClusters([opened], [np.arange(96)], OPTIONS, 1, block=8, buffer=40)
    halo = {
        float(np.log(m)): int(h) for m, h in zip(survey["m500c"], survey["halo_id"], strict=True)
    }
    held = {halo[float(m)] for m in clusters.validation[1]}
    trained = {halo[float(m)] for m in epoch(started(clusters), 0)[1]}
    assert len(clusters.validation[1]) == clusters.n_held == 4 * len(held)
    assert not held & trained and held | trained == set(range(24))
    fitted = {halo[float(m)] for m in clusters.fitting[1]}
    assert fitted <= trained


def test_what_is_in_memory_is_bounded(stores: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FITTING", 30)
    monkeypatch.setattr(streaming, "VALIDATION", 7)
    clusters = stored(stores)
    assert len(clusters.fitting[0]) == len(clusters.fitting[1]) == 30
    # whole halos, of one cluster here, until there are enough
    assert clusters.n_held == len(clusters.validation[0]) in (7, 8)
    assert len(started(clusters)) == clusters.n_train - clusters.n_held


def test_processes_share_the_blocks(stores: list[Path]) -> None:
    alone = epoch(started(stored(stores)), 4)[1]
    first, second = (epoch(started(stored(stores), rank, 2), 4)[1] for rank in range(2))
    assert not set(first) & set(second)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.sort(alone))


def test_samples_are_put_together_and_cut_to_batches() -> None:
    def some(n: int, most: int, n_galaxies: int) -> tuple[Sample, np.ndarray]:
        counts = torch.full((n, 1, 2, 2), most, dtype=torch.int16)
        points = torch.zeros(n, n_galaxies, 3)
        one = torch.ones(n)
        sample = Sample(counts, None, one, one, points, members=points[..., 0])
        return narrowed(sample), np.full(n, float(most))

    blocks = [some(5, 255, 2), some(6, 256, 4), some(3, 1, 0)]
    assert [sample.counts.dtype for sample, _ in blocks] == [torch.uint8, torch.int16, torch.uint8]
    buffers = list(buffered(blocks, 7, 4))
    assert [len(lnm) for _, lnm in buffers] == [8, 6]
    for sample, lnm in buffers:
        np.testing.assert_array_equal(sample.counts[:, 0, 0, 0].numpy(), lnm)
    first = buffers[0][0].galaxies
    assert first is not None and first.shape == (8, 4, 3)
    assert first[:5, 2:].isnan().all() and not first[5:].isnan().any()
    members = buffers[0][0].members
    assert members is not None
    np.testing.assert_array_equal(members, first[..., 0])
    known, unknown = blocks[0][0], replace(blocks[1][0], members=None)
    for few in ([known, unknown], [unknown, known]):
        assert concatenated(few).members is None


def test_a_network_streams_as_it_learns_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As good a network, with a posterior, a prior and a domain; saved and read again."""
    survey = beta_model_survey(400, n_pixels=32)
    survey.to_zarr(tmp_path / "x.zarr")
    train, test = np.arange(300), np.arange(300, 400)
    truth = np.log(survey["m500c"].values[test])
    scatter = {}
    for limit in (streaming.IN_MEMORY_BYTES, 0):
        monkeypatch.setattr("icmass.estimators.network.IN_MEMORY_BYTES", limit)
        estimator = NetworkEstimator("icm-1band", seed=2, device="cpu", max_epochs=8)
        estimator.fit(open_survey(tmp_path / "x.zarr"), train)
        found = estimator.predict(survey, test)
        scatter[limit] = float(np.std(found.mean - truth))
    assert estimator.config is not None
    assert (estimator.config.n_train, estimator.config.n_validation) == (300, 30)
    assert estimator.config.mass_prior is not None and found.out_of_domain is not None
    # the masses scatter by 0.87, what can be known by 0.35/1.3; two networks of 100 clusters each
    assert scatter[0] < 0.6
    assert scatter[0] == pytest.approx(scatter[streaming.IN_MEMORY_BYTES], rel=0.4)
    estimator.save(tmp_path / "model")
    again = load_estimator(tmp_path / "model", device="cpu").predict(survey, test)
    np.testing.assert_allclose(again.mean, found.mean, rtol=1e-6)


def test_a_killed_stream_goes_on_to_the_same_weights(stores: list[Path], tmp_path: Path) -> None:
    def kill(epoch: object) -> None:
        raise KeyboardInterrupt

    def fitted(**options: object) -> NetworkEstimator:
        made = NetworkEstimator("paper-1band", seed=1, device="cpu", max_epochs=2, **options)  # type: ignore[arg-type]
        made.fit_clusters(stored(stores))
        return made

    with pytest.raises(KeyboardInterrupt):
        fitted(checkpoint=tmp_path, progress=kill)
    seen: list[int] = []
    resumed = fitted(checkpoint=tmp_path, progress=lambda epoch: seen.append(epoch.epoch))
    assert seen == [2]
    whole = fitted()
    for a, b in zip(
        resumed.networks[0].state_dict().values(),
        whole.networks[0].state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)
    with pytest.raises(InputError, match="checkpoint of another training"):
        made = NetworkEstimator(
            "paper-1band", seed=1, device="cpu", max_epochs=2, checkpoint=tmp_path
        )
        made.fit_clusters(stored(stores, buffer=48))


def test_what_is_in_memory_is_counted(stores: list[Path]) -> None:
    survey = open_survey(stores[0])
    for options in (OPTIONS, OPTIONS | {"sum_bands": False}, OPTIONS | {"with_parts": False}):
        sample = read_sample(survey, np.arange(10), **options)  # type: ignore[arg-type]
        maps = [sample.counts, *([] if sample.parts is None else [sample.parts])]
        assert cluster_bytes(survey, options) == sum(m.nbytes for m in maps) / 10


def test_train_streams_any_number_of_surveys(
    stores: list[Path], tmp_path: Path, run_cli: Callable
) -> None:
    given = ("train", *stores, "--model", "paper-1band", "--max-epochs", 1, "--device", "cpu")
    done = run_cli(*given, "--stream", "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "model" / "results.json").read_text())
    row = results["estimators"][0]
    assert (row["n"], results["n_train"], results["survey"]["n_clusters"]) == (27, 243, 270)
    refused = run_cli("train", stores[0], "--model", "M_gas", "--stream", "--out", tmp_path / "m")
    assert refused.returncode == 2 and "--stream" in refused.stderr


def test_the_slice_of_galaxies_that_is_read_is_the_clusters_own() -> None:
    """Against all galaxies, for clusters in any order."""
    survey = beta_model_survey(4, n_pixels=16)
    offset = np.array([0, 2, 2, 5, 6])
    values = np.arange(6.0)
    survey = survey.assign(
        galaxy_offset=("cluster_edge", offset),
        **{f"galaxy_{axis}": ("galaxy", values + 10 * i) for i, axis in enumerate("xyv")},
    )
    options = OPTIONS | {"with_galaxies": True}
    for index in ([0, 1, 2, 3], [2, 0], [3], [1], [2, 3]):
        sample = read_sample(survey, np.array(index), **options)  # type: ignore[arg-type]
        assert sample.galaxies is not None
        velocity = sample.galaxies[..., 2].numpy()
        for row, cluster in zip(velocity, index, strict=True):
            expected = values[offset[cluster] : offset[cluster + 1]] + 20
            np.testing.assert_array_equal(row[np.isfinite(row)], expected)


def test_a_stream_of_other_scalars_is_another_training(stores: list[Path]) -> None:
    one, other = stored(stores), stored(stores)
    changed: xr.Dataset = other.table.copy(deep=True)
    changed["redshift"][0] += 0.01
    other.table = changed
    prints = [started(clusters).fingerprint() for clusters in (one, stored(stores), other)]
    tensors = [prints[k][1] for k in range(3)]

    def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    assert prints[0][0] == prints[1][0] and same(tensors[0], tensors[1])
    assert not same(tensors[0], tensors[2])
    assert replace(CONFIG, max_epochs=3).epochs(len(started(one))) == 3
