"""Every construct of the language runs: all forms of a few architectures agree, and costs are what torch counts."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract, over_store, supernet
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.source import python_source
from hrdsl.compiler.store import Store
from hrdsl.runtime.export import FORMATS, export

torch.set_num_threads(1)

CONSTRUCTS = sorted((Path(__file__).parent / "golden" / "constructs").glob("*.arch"))
every = pytest.mark.parametrize("path", CONSTRUCTS, ids=lambda p: p.stem)


@cache
def compiled(path: Path) -> Compiled:
    return compile_file(path)


def image(space: Compiled) -> torch.Tensor:
    size = space.graph.input
    return torch.randn(2, size.channels.limit, *size.extent, generator=torch.Generator().manual_seed(0))


def architectures(space: Compiled) -> Iterator[tuple[int, ...]]:
    """Both ends and four drawn ones."""
    decisions = space.decisions
    drawn = decisions.sample(np.random.default_rng(0), 4) if space.graph.decisions else []
    yield from {decisions.largest(), decisions.smallest(), *(tuple(int(g) for g in row) for row in drawn)}


def parts(result: Any) -> list[torch.Tensor]:
    return list(result.values()) if isinstance(result, dict) else [result]


@every
def test_forms_agree(path: Path) -> None:
    space, x = compiled(path), image(compiled(path))
    store = Store(space.graph, 0)
    planner, whole = Planner(space.graph, store), supernet(space.graph, store)
    for genes in architectures(space):
        expected = parts(planner(genes)(x))
        own = extract(space.graph, store, genes)
        names: dict[str, Any] = {}
        exec(python_source(own, "found"), names)  # the text that `hrdsl export` writes
        written = names["Network"]()
        written.load_state_dict(own.state_dict())
        whole.set_architecture(genes)
        for network in (over_store(space.graph, store, genes), own, whole, written.train()):
            assert all(torch.equal(a, b) for a, b in zip(parts(network(x)), expected, strict=True))


@every
def test_costs_are_what_torch_counts(path: Path) -> None:
    space, x = compiled(path), image(compiled(path))
    for genes in architectures(space):
        own, costs = extract(space.graph, None, genes).eval(), space.costs.one(genes)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            own(x)
        assert costs["parameters"] == sum(p.numel() for p in own.parameters())
        assert costs["macs"] * 2 * len(x) == counter.get_total_flops()


def test_several_heads_give_a_dictionary() -> None:
    space = compiled(next(p for p in CONSTRUCTS if p.stem == "heads"))
    found = extract(space.graph, None, space.decisions.largest()).eval()(image(space))
    assert {name: tuple(t.shape) for name, t in found.items()} == {"labels": (2, 3, 8, 8), "edges": (2, 1, 8, 8)}


def test_several_heads_are_exported(tmp_path: Path) -> None:
    space = compiled(next(p for p in CONSTRUCTS if p.stem == "heads"))
    own = extract(space.graph, None, space.decisions.largest()).eval()
    for target in ("python", "onnx"):
        checked = export(own, (2, 8, 8), "heads", target, tmp_path / f"heads{FORMATS[target]}")
        assert checked["largest_difference"] < 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "heads.onnx"), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["labels", "edges"]
