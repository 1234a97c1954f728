"""The networks' layers: the paper's to the last parameter, and ours."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from icmass.networks.compact import CompactNetwork
from icmass.networks.paper import PaperNetwork


def flattened(padding: tuple[str, str]) -> int:
    """Numbers that reach the dense layers with the paddings of the 5x5 and 3x3 convolutions."""
    five, three = padding
    layers = nn.Sequential(
        nn.Conv2d(1, 24, 5, padding=five),
        nn.Conv2d(24, 10, 3, padding=three),
        nn.MaxPool2d(4),
        nn.Conv2d(10, 24, 5, padding=five),
        nn.Conv2d(24, 10, 3, padding=three),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return layers(torch.zeros(1, 1, 128, 128)).shape[1]


def test_only_same_padding_gives_the_papers_2560() -> None:
    paddings = [(five, three) for five in ("valid", "same") for three in ("valid", "same")]
    assert [p for p in paddings if flattened(p) == 2560] == [("same", "same")]


def test_paper_network_has_the_papers_parameters_layer_by_layer() -> None:
    network = PaperNetwork()
    sizes = [
        sum(p.numel() for p in layer.parameters())
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    # by hand: inputs x outputs x kernel + biases
    assert sizes == [624, 2170, 6024, 2170, 327808, 16512, 8256, 65]
    assert sum(sizes) == 363_629 == sum(p.numel() for p in network.parameters())
    assert network(torch.zeros(2, 1, 128, 128), torch.zeros(2, 0)).shape == (2, 1)


def test_paper_network_starts_as_keras_does() -> None:
    torch.manual_seed(0)
    network = PaperNetwork()
    first, dense = network.features[0], network.head[0]
    for layer, fan_in, fan_out in ((first, 25, 25 * 24), (dense, 2560, 128)):
        limit = math.sqrt(6 / (fan_in + fan_out))  # Glorot & Bengio 2010, eq. 16
        weight = layer.weight.detach()
        n = weight.numel()
        assert weight.abs().max() <= limit
        # the largest of n uniform draws falls short by limit/n on average: 10 of those
        assert weight.abs().max() > limit * (1 - 10 / n)
        # variance limit^2/3; that of the sample scatters by a relative sqrt(0.8/n)
        assert float(weight.var()) == pytest.approx(limit**2 / 3, rel=5 * math.sqrt(0.8 / n))
        assert (layer.bias == 0).all()


@pytest.mark.parametrize(("n_channels", "n_pixels"), [(1, 64), (3, 64), (4, 49), (3, 32)])
def test_compact_network_takes_small_maps(n_channels: int, n_pixels: int) -> None:
    network = CompactNetwork(n_channels=n_channels, n_scalars=2, n_pixels=n_pixels)
    output = network(torch.zeros(5, n_channels, n_pixels, n_pixels), torch.zeros(5, 2))
    assert output.shape == (5, 2)
    assert 50_000 < sum(p.numel() for p in network.parameters()) < 150_000


def test_compact_network_sees_the_scalars() -> None:
    torch.manual_seed(0)
    network = CompactNetwork(n_channels=1, n_scalars=2, n_pixels=64).eval()
    maps = torch.rand(1, 1, 64, 64).expand(3, -1, -1, -1)
    mean = network(maps, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))[:, 0]
    assert len(set(mean.tolist())) == 3


def test_compact_network_knows_where_the_centre_is() -> None:
    torch.manual_seed(0)
    network = CompactNetwork(n_channels=1, n_scalars=2, n_pixels=64).eval()
    maps = torch.zeros(2, 1, 64, 64)
    maps[0, 0, 30:34, 30:34] = maps[1, 0, 22:26, 22:26] = 50.0
    with torch.no_grad():
        here, there = network(maps, torch.zeros(2, 2))[:, 0].tolist()
        network.distance.zero_()
        network.pooling.weight.zero_()
        blind_here, blind_there = network(maps, torch.zeros(2, 2))[:, 0].tolist()
    # without the two means against it, the same blob elsewhere is the same
    assert blind_here == pytest.approx(blind_there, abs=1e-6)
    assert abs(here - there) > 1e-3
