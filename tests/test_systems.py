"""The supernets of the four systems in every form: they pass lint, are traced again, exported, and printed as Python."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from hrdsl.compiler.api import Compiled, compile_file, read_settings
from hrdsl.compiler.module import Supernet, extract, supernet
from hrdsl.compiler.source import python_source
from hrdsl.compiler.store import Store

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
REDUCED = {
    "hrvit/space": ["size=32", "base=8"],
    "hrnas/cityscapes": [
        "height=64",
        "columns=64",
        "widths=[4,8,12,16]",
        "blocks=[1,1,1,1,1]",
        "kernels=[3,7]",
        "where=identity",
        "tokens=4",
        "side=2",
    ],
    "hyctas/space": ["height=64", "columns=64", "layers=6"],
    "trionet/space": ["size=64"],
}
"""What makes each of them small: settings of its space."""
WHOLE = {
    "hrvit/space": ["size=64"],
    "hrnas/cityscapes": ["height=64", "columns=128", "where=everywhere"],
    "hyctas/space": ["height=64", "columns=128"],
    "trionet/space": [],
}
"""The whole spaces, on small images: with HRDSL_WHOLE in the environment, which takes minutes."""
SETTINGS = WHOLE if os.environ.get("HRDSL_WHOLE") else REDUCED
every = pytest.mark.parametrize("name", REDUCED)


@cache
def compiled(name: str) -> Compiled:
    return compile_file(ROOT / "examples" / f"{name}.arch", settings=read_settings(SETTINGS[name]))


def architecture(name: str) -> tuple[int, ...]:
    """The largest; of HRViT, whose export takes longest, the smallest."""
    decisions = compiled(name).decisions
    small = name == "hrvit/space" and SETTINGS is REDUCED
    return decisions.smallest() if small else decisions.largest()


@cache
def whole(name: str) -> tuple[Supernet, Tensor, Any]:
    """The supernet at one of its architectures, an image, and what it makes of it."""
    space = compiled(name)
    made = supernet(space.graph, Store(space.graph, 0), architecture(name))
    size = space.graph.input
    x = torch.randn(1, size.channels.limit, *size.extent, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.plan(torch.cat([x, -x]), "calibrate")
        made.set_mode("stored")
        return made, x, made(x)


def same(one: Any, other: Any) -> bool:
    if isinstance(other, dict):
        return set(one) == set(other) and all(same(one[k], other[k]) for k in other)
    return torch.equal(one, other)


@every
def test_the_supernet_is_traced_again(name: str) -> None:
    made, x, expected = whole(name)
    assert isinstance(made, fx.GraphModule)
    made.graph.lint()
    again = fx.symbolic_trace(made)
    again.graph.lint()
    with torch.no_grad():
        assert same(again(x), expected)
        assert same(printed(again)(x), expected)
        assert same(printed(made)(x), expected)


def printed(module: fx.GraphModule) -> Any:
    """The forward pass of a module as its printed Python source says it."""
    scope: dict[str, Any] = dict(module.graph.python_code("self").globals)
    exec(compile(module.code, "<printed>", "exec"), scope)
    return lambda x: scope["forward"](module, x)


@every
def test_the_supernet_is_exported(name: str) -> None:
    made, x, expected = whole(name)
    with torch.no_grad():
        program = torch.export.export(made, (x,))
        assert same(program.module()(x), expected)


@every
def test_the_source_of_an_extracted_network_is_the_network(name: str) -> None:
    space, (_, x, _) = compiled(name), whole(name)
    own = extract(space.graph, None, architecture(name)).eval()
    own.graph.lint()
    scope: dict[str, Any] = {}
    exec(compile(python_source(own, name), "<source>", "exec"), scope)
    network: nn.Module = scope["Network"]().eval()
    network.load_state_dict(own.state_dict(), strict=True)
    with torch.no_grad():
        assert same(network(x), own(x))
        assert same(fx.symbolic_trace(own)(x), own(x))
