"""The classics of `examples/classics` against published figures and against the networks rebuilt in plain torch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text

from . import published

FOLDER = Path(__file__).parents[1] / "examples" / "classics"


@dataclass(frozen=True, slots=True)
class Published:
    """A network as published: how it is rebuilt, its figures at its input size, a small size at which it runs."""

    build: Callable[[], nn.Module]
    size: tuple[int, int]
    parameters: int
    macs: int
    small: int = 64


NETWORKS = {
    "resnet50": Published(published.resnet50, (224, 224), 25_557_032, 4_089_184_256),
    "mobilenetv2": Published(published.mobilenetv2, (224, 224), 3_504_872, 300_774_272),
    "hrnetv2_w18": Published(partial(published.HRNet, 18), (512, 1024), 9_641_119, 36_850_262_016),
    "hrnetv2_w32": Published(partial(published.HRNet, 32), (512, 1024), 29_546_515, 90_306_510_848),
    "hrnetv2_w48": Published(partial(published.HRNet, 48), (512, 1024), 65_859_379, 186_878_263_296),
    "segformer_b0": Published(published.SegFormer, (512, 512), 3_752_694, 8_387_821_568),
    "unet": Published(published.UNet, (512, 512), 31_037_698, 192_686_325_760, small=32),
}
TRUNKS = {"hrnetv2_w18": 9_562_260, "hrnetv2_w32": 29_305_536, "hrnetv2_w48": 65_325_120}
"""Parameters up to the last fusion, those of `hrnet_w18` and so on of timm without its classification head."""

every = pytest.mark.parametrize("name", NETWORKS)


@cache
def compiled(name: str) -> Compiled:
    return compile_file(FOLDER / f"{name}.arch")


def test_every_classic_is_here() -> None:
    spaces = {p.stem for p in FOLDER.glob("*.arch") if "\nspace " in p.read_text()}
    assert spaces == set(NETWORKS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.arch")), ids=lambda p: p.stem)
def test_text(path: Path) -> None:
    text = path.read_text()
    assert format_text(Source(path.name, text)) == text


@every
def test_fixed_without_warnings(name: str) -> None:
    space = compiled(name)
    assert not space.graph.decisions
    assert not space.warnings
    assert space.graph.input.extent == NETWORKS[name].size


@every
def test_figures_are_those_published(name: str) -> None:
    found, network = compiled(name).costs.one(()), NETWORKS[name]
    assert (found["parameters"], found["macs"]) == (network.parameters, network.macs)
    text = (FOLDER / f"{name}.arch").read_text()
    assert f"{network.parameters:,} parameters" in text
    assert f"{network.macs:,} MACs" in text


@every
def test_figures_are_those_of_plain_torch(name: str) -> None:
    """Operations counted by torch, two for each multiply-accumulate."""
    network = NETWORKS[name]
    with torch.device("meta"):
        model = network.build().eval()
        image = torch.empty(1, 3, *network.size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    assert sum(p.numel() for p in model.parameters()) == network.parameters
    assert counter.get_total_flops() == 2 * network.macs


@pytest.mark.parametrize("name", TRUNKS)
def test_trunk(name: str) -> None:
    graph = compiled(name).graph
    sizes = [(n.stage, w) for n in graph.nodes for w in n.weights]
    count = sum(torch.Size([a.limit for a in w.axes]).numel() for stage, w in sizes if stage != "head")
    assert count == TRUNKS[name]


@every
def test_output_is_that_of_plain_torch(name: str) -> None:
    """The same weights in order of use: the same output."""
    torch.manual_seed(0)
    network, space = NETWORKS[name], compiled(name)
    image = torch.randn(2, 3, network.small, network.small)
    model = network.build()
    used = order(model, image)
    own = extract(space.graph, None, ()).eval()
    copy(used, own)
    with torch.no_grad():
        expected, got = model.eval()(image), own(image)
    assert got.shape == expected.shape
    assert float(expected.std()) > 1e-3
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def order(model: nn.Module, image: Tensor) -> list[nn.Module]:
    """The modules with weights in the order of use; batch normalisations take the statistics of `image`."""
    used: list[nn.Module] = []
    for module in model.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(lambda m, *_: used.append(m))
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    with torch.no_grad():
        model.train()(image)
    return used


@torch.no_grad()
def copy(used: list[nn.Module], own: fx.GraphModule) -> None:
    """Weights and statistics into an extracted network, in the order of its calls."""
    tensors = [t for module in used for t in (*module.parameters(recurse=False), *module.buffers(recurse=False))]
    places: list[Tensor] = []
    for node in own.graph.nodes:
        if node.op == "get_attr":
            places.append(own.get_parameter(str(node.target)))
        elif node.op == "call_module":
            module = own.get_submodule(str(node.target))
            places += [*module.parameters(), *module.buffers()]
    for place, tensor in zip(places, tensors, strict=True):
        place.copy_(tensor.view_as(place))
