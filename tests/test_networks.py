"""The networks' layers: the paper's to the last parameter, and ours."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from icmass.errors import InputError
from icmass.networks import rqs_flow
from icmass.networks.multimodal import MultimodalNetwork
from icmass.networks.paper import PaperNetwork
from icmass.networks.rings import N_OF_GALAXIES, RingNetwork
from icmass.training.model_specs import MODEL_SPECS


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


def test_three_bands_add_the_papers_1200_parameters() -> None:
    network = PaperNetwork(n_channels=3, dropout=0.1)
    assert sum(p.numel() for p in network.features[0].parameters()) == 24 * (3 * 25 + 1)
    assert sum(p.numel() for p in network.parameters()) == 364_829
    kinds = [type(layer) for layer in network.head]
    assert kinds == [*3 * [nn.Linear, nn.ReLU, nn.Dropout], nn.Linear]
    assert {layer.p for layer in network.head if isinstance(layer, nn.Dropout)} == {0.1}
    assert not any(isinstance(layer, nn.Dropout) for layer in PaperNetwork().modules())
    maps, none = torch.rand(2, 3, 128, 128), torch.zeros(2, 0)
    with torch.no_grad():
        assert not torch.equal(network(maps, none), network(maps, none))
        network.eval()
        assert torch.equal(network(maps, none), network(maps, none))


def test_multimodal_network_has_the_parameters_of_its_layers() -> None:
    network = MultimodalNetwork()
    sizes = [
        sum(p.numel() for p in layer.parameters())
        for layer in network.modules()
        if isinstance(layer, nn.Conv3d | nn.Conv2d | nn.Linear)
    ]
    # by hand: inputs x kernel x outputs + biases; 14^3 voxels are pooled to 7^3, the maps to 2^2
    cube = [4 * 125 * 24 + 24, 24 * 27 * 16 + 16, 16 * 8 + 8, 8 * 343 * 128 + 128]
    maps = [3 * 25 * 24 + 24, 24 * 9 * 10 + 10, 10 * 25 * 24 + 24, 24 * 9 * 10 + 10]
    head = [256 * 128 + 128, 128 * 64 + 64, 64 + 1]
    assert sizes == [*cube, *maps, 10 * 4 * 128 + 128, *head]
    assert sum(sizes) == 432_557 == sum(p.numel() for p in network.parameters())
    dropouts = [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert dropouts == 4 * [0.1]


@pytest.mark.parametrize("n_pixels", [64, 100, 128])
def test_multimodal_network_takes_maps_and_cubes(n_pixels: int) -> None:
    network = MultimodalNetwork(n_pixels=n_pixels).eval()
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 3, n_pixels, n_pixels, generator=generator)
    cubes = torch.randn(3, 64, 64, 64, generator=generator)
    maps[1], cubes[2] = maps[0], cubes[0]
    with torch.no_grad():
        output = network(maps, cubes)
    assert output.shape == (3, 1)
    assert len(set(output[:, 0].tolist())) == 3  # it sees the cubes (1) and the maps (2)


def test_multimodal_network_refuses_small_maps() -> None:
    with pytest.raises(InputError, match="maps: 32 x 32 pixels; the multimodal network takes 64"):
        MultimodalNetwork(n_pixels=32)


def test_the_first_layer_is_the_convolution_of_cube_and_repeated_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    network = MultimodalNetwork()
    nn.init.normal_(network.first.bias, generator=generator)
    pooled = torch.randn(1, 3, 64, 64, generator=generator)
    cubes = torch.randn(1, 64, 64, 64, generator=generator)
    repeated = pooled[..., None].expand(-1, -1, -1, -1, 64)
    with torch.no_grad():
        expected = network.first(torch.cat([cubes[:, None], repeated], 1))
        found = network.first_layer(pooled, cubes)
    assert found.shape == (1, 24, 60, 60, 60)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("layer", "kernel"), [(0, 5), (3, 3)])
def test_strided_convolutions_pad_as_keras_does(layer: int, kernel: int) -> None:
    # Keras' "same" puts the odd zero last: output i of a kernel of 5 sees inputs 2i-1 to 2i+3,
    # of a kernel of 3 it sees 2i to 2i+2
    pad, convolution = MultimodalNetwork().map_features[layer : layer + 2]
    nn.init.ones_(convolution.weight)
    first = 1 if kernel == 5 else 0
    for at in (0, 1, 30, 31, 126, 127):
        line = torch.zeros(1, convolution.in_channels, 128, 128)
        line[0, 0, 64, at] = 1
        seen = convolution(pad(line))[0, 0, 32].nonzero()[:, 0].tolist()
        sees = [i for i in range(64) if 2 * i - first <= at < 2 * i - first + kernel]
        assert seen == sees


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
def test_ring_network_takes_small_maps(n_channels: int, n_pixels: int) -> None:
    network = RingNetwork(n_channels=n_channels, n_scalars=2, n_pixels=n_pixels)
    output = network(torch.zeros(5, n_channels, n_pixels, n_pixels), torch.zeros(5, 2))
    assert output.shape == (5, rqs_flow.N_PARAMETERS + 64)
    assert 30_000 < sum(p.numel() for p in network.parameters()) < 60_000


def test_ring_network_sees_the_scalars() -> None:
    torch.manual_seed(0)
    network = RingNetwork(n_channels=1, n_scalars=2, n_pixels=64).eval()
    maps = torch.rand(1, 1, 64, 64).expand(3, -1, -1, -1)
    mean = network(maps, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))[:, 0]
    assert len(set(mean.tolist())) == 3


def test_ring_network_knows_how_far_from_the_centre() -> None:
    torch.manual_seed(0)
    network = RingNetwork(n_channels=1, n_scalars=2, n_pixels=64).eval()
    maps = torch.zeros(2, 1, 64, 64)
    maps[0, 0, 30:34, 30:34] = maps[1, 0, 30:34, 14:18] = 50.0
    with torch.no_grad():
        centre, left = network(maps, torch.zeros(2, 2))[:, 0].tolist()
    assert abs(centre - left) > 1e-3


def test_cells_of_galaxies_are_brought_down_to_a_few_numbers() -> None:
    torch.manual_seed(0)
    network = RingNetwork(n_channels=1, n_scalars=11, n_pixels=64, n_cells=8).eval()
    assert network.head[0].in_features == 24 * 8 + 3 + N_OF_GALAXIES
    maps, scalars = torch.rand(2, 1, 64, 64)[:1].expand(2, -1, -1, -1), torch.zeros(2, 11)
    for place in (2, 3, 10):
        scalars[1] = 0
        scalars[1, place] = 1
        first, second = network(maps, scalars)[:, 0].tolist()
        assert abs(first - second) > 1e-4
    # however large the number in a cell is, it says no more than its unit can
    scalars[0, 5], scalars[1, 5] = 1e6, 2e6
    first, second = network(maps, scalars)[:, 0].tolist()
    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "n_clusters", "share"),
    [
        ("icm-3band", 9_999, 0.2),
        ("icm-3band", 10_000, 0.0),
        ("icm-large-1band", 9_999, 0.2),
        ("icm-large-1band", 10_000, 0.0),
        ("icm-multimodal", 1_000, 0.0),
        ("paper-3band", 10_000, 0.1),
    ],
)
def test_networks_of_many_clusters_leave_nothing_out(
    name: str, n_clusters: int, share: float
) -> None:
    network = MODEL_SPECS[name].network(n_pixels=128, n_channels=3, n_clusters=n_clusters)
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {share}


def test_dropout_moves_the_mean_of_what_follows_a_relu() -> None:
    """Why there is none where there are many clusters: the mean of a ReLU of noise.

    Of a unit that sees k equal numbers h, each left out with probability p and else made larger by
    1 / (1 - p), the variance is k h^2 p / (1 - p); at a mean of 0 a Gaussian's ReLU has the mean
    std / sqrt(2 pi), where the unit gives 0 in a prediction.
    """
    torch.manual_seed(0)
    k, p = 400, 0.2
    sign = torch.tensor([1.0, -1.0]).repeat(k // 2)
    with_dropout = torch.relu(nn.Dropout(p)(torch.ones(20_000, k)) @ sign)
    std = math.sqrt(k * p / (1 - p))
    error = std * math.sqrt(0.5 - 0.5 / math.pi) / math.sqrt(20_000)
    assert abs(with_dropout.mean() - std / math.sqrt(2 * math.pi)) < 5 * error
    assert torch.relu(torch.ones(k) @ sign) == 0


def test_rings_average() -> None:
    rings = RingNetwork(n_channels=1, n_scalars=0, n_pixels=64).rings
    assert rings.shape == (32 * 32, 9)
    assert rings.sum(0).numpy() == pytest.approx(1, rel=1e-5)


# the flow ---------------------------------------------------------------------------------------


def test_flow_starts_as_the_gaussian_of_its_first_two_parameters() -> None:
    parameters = torch.zeros(4, rqs_flow.N_PARAMETERS)
    parameters[:, 0] = torch.tensor([0.0, 1.0, -2.0, 0.3])
    parameters[:, 1] = torch.tensor([0.0, -1.0, 0.5, -3.0])
    target = torch.tensor([0.1, 0.8, 1.0, 0.31])
    normal = torch.distributions.Normal(parameters[:, 0], parameters[:, 1].exp())
    found = rqs_flow.log_prob(parameters, target)
    assert found.numpy() == pytest.approx(normal.log_prob(target).numpy(), abs=1e-5)


def test_flow_is_a_density_whatever_its_parameters() -> None:
    torch.manual_seed(1)
    parameters = torch.randn(5, rqs_flow.N_PARAMETERS, dtype=torch.float64)
    parameters[:, 1] = parameters[:, 1].clamp(-1, 1)
    target = torch.linspace(-40, 40, 40_001, dtype=torch.float64)[:, None].expand(-1, 5)
    density = torch.exp(rqs_flow.log_prob(parameters, target))
    assert torch.trapezoid(density, target, dim=0).numpy() == pytest.approx(1, abs=2e-3)
    assert density.std(0).min() > 0


def test_flow_learns_a_skewed_density() -> None:
    torch.manual_seed(0)
    drawn = torch.distributions.Gamma(2.0, 2.0).sample((4000,))
    parameters = torch.zeros(1, rqs_flow.N_PARAMETERS, requires_grad=True)
    optimizer = torch.optim.Adam([parameters], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -rqs_flow.log_prob(parameters.expand(len(drawn), -1), drawn).mean()
        loss.backward()
        optimizer.step()
    entropy = 2 - math.log(2) - 0.4227843351  # k - ln b + ln Gamma(k) + (1 - k) psi(k)
    gaussian = 0.5 * math.log(2 * math.pi * math.e * float(drawn.var()))
    assert entropy - 0.03 < loss.item() < entropy + 0.04 < gaussian
