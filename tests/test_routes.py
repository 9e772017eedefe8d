"""Routes: counts by closed form and by looking at all, what routes share by a walk over the genes, every form of a network."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch

from hrdsl.compiler.api import Compiled, compile_file, compile_module
from hrdsl.compiler.found import compile_text, found_text
from hrdsl.compiler.module import extract, over_store, supernet
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.specialise import Specialiser
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source
from hrdsl.dsl.settings import Chosen
from hrdsl.runtime.task import Examples
from hrdsl.runtime.train import SupernetTrainer

HERE = Path(__file__).parent / "routes"
TRELLIS = HERE / "trellis.arch"
SKIPS = HERE / "skips.arch"
ROUTES = ("high", "middle", "low")
Genes = tuple[int, ...]


@cache
def trellis(layers: int) -> Compiled:
    return compile_file(TRELLIS, settings={"layers": layers})


@cache
def changed(path: Path, *replaced: tuple[str, str], layers: int = 4) -> Compiled:
    """A file with some of its text replaced."""
    text = path.read_text()
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return compile_module(load_source(Source("changed.arch", text), path.parent), settings={"layers": layers})


# counts


def ways(layers: int, alone: Sequence[int]) -> int:
    """Sets of routes that halve in different layers; `alone` is how many cells and widths each route has where it goes."""
    high, middle, low = alone
    places = (1, layers - 1, comb(layers - 1, 2))
    both = (layers - 1) * comb(layers - 2, 2)
    single = high * places[0] + middle * places[1] + low * places[2]
    pairs = high * middle * places[1] + high * low * places[2] + middle * low * both
    return single + pairs + high * middle * low * both


@pytest.mark.parametrize("layers", [4, 16, 17, 20])
def test_the_count_is_the_closed_form(layers: int) -> None:
    """Five cells, of which a route that halves cannot take the first; five widths in all layers but the last."""
    alone = [5 ** (layers - t) * 4**t * 5 ** (layers - 1) for t in range(3)]
    found = trellis(layers).decisions.count()
    assert found.exact
    assert found.value == ways(layers, alone)


@pytest.mark.parametrize("layers", [4, 8])
def test_the_count_where_layers_are_removed(layers: int) -> None:
    """A layer is removed, or has one of two cells and one of two widths; where a route halves it is not removed."""
    alone = [4**t * 5 ** (layers - 1 - t) * 3 for t in range(3)]
    found = compile_file(SKIPS, settings={"layers": layers}).decisions.count()
    assert found.exact
    assert found.value == ways(layers, alone)


FEW = (
    ("blocks.conv_bn_relu(3), blocks.residual, blocks.conv_bn_relu(5), blocks.inverted_residual", "blocks.residual"),
)
NARROW = (("units in {4, 6, 8, 10, 12} per cell", "units = 12"),)
TWO = (("high, middle, low", "high, middle"), ("  branch low at 1/8 {}\n", ""), (", paths.low.down", ""))


def test_looking_at_all_with_cells() -> None:
    space = changed(TRELLIS, *FEW, *NARROW)
    networks = {one for one in all_networks(space)}
    assert len(networks) == space.decisions.count().value == ways(4, [2**4, 2**3, 2**2])


def test_looking_at_all_with_removed_layers() -> None:
    space = changed(SKIPS, *TWO, ("blocks.conv_bn_relu(3), ", ""), layers=3)
    networks = {one for one in all_networks(space)}
    high, middle = 3 * 3 * 2, 2 * (2 * 3 * 2)
    assert len(networks) == space.decisions.count().value == high + middle + high * middle


def all_networks(space: Compiled) -> Iterator[tuple[object, ...]]:
    """What every combination of choices computes that the constraints, written anew here, allow."""
    walk = Specialiser(space.graph)
    names = [d.path for d in space.graph.decisions]
    routes = [[n for n in names if n.startswith(f"paths.{r}")] for r in ROUTES]
    parts = [list(route_genes(space, mine)) for mine in routes if mine]
    for combined in product(*parts):
        genes = {k: v for part in combined for k, v in part.items()}
        row = tuple(genes[n] for n in names)
        if allowed(space, row):
            yield tuple((one.node, one.inputs, id(one.entry)) for one in walk(row))


def route_genes(space: Compiled, names: list[str]) -> Iterator[dict[str, int]]:
    """Every way to choose one route; one way to leave it out."""
    sizes = {d.path: len(d) for d in space.graph.decisions}
    inside = [n for n in names if not n.endswith(".open")]
    opened = next(n for n in names if n.endswith(".open"))
    yield {opened: 1, **dict.fromkeys(inside, 0)}
    for genes in product(*(range(sizes[n]) for n in inside)):
        yield {opened: 0, **dict(zip(inside, genes, strict=True))}


def allowed(space: Compiled, row: Genes) -> bool:
    routes = chosen(space, row)
    halved = [k for r in routes.values() for k in r.down]
    return (
        bool(routes)
        and len(halved) == len(set(halved))
        and all(r.cells[k - 1] not in ("skip", "identity") for r in routes.values() for k in r.down)
    )


# what routes share


class Way:
    """One open route of an architecture: where it halves, its cells, its widths."""

    def __init__(self, values: dict[str, object], name: str, layers: int) -> None:
        place = f"paths.{name}"
        self.down: tuple[int, ...] = values.get(f"{place}.down", ())  # type: ignore[assignment]
        self.cells = [str(values[f"{place}[{k}].cell"]) for k in range(1, layers + 1)]
        self.units = [values.get(f"{place}[{k}].units", 12) for k in range(1, layers + 1)]


def chosen(space: Compiled, row: Genes) -> dict[str, Way]:
    values = {
        d.path: d.values[row[d.index]] if d.path.endswith((".down", ".units", ".open")) else d.labels[row[d.index]]
        for d in space.graph.decisions
    }
    names = [r for r in ROUTES if values.get(f"paths.{r}.open")]
    return {r: Way(values, r, space.settings["layers"]) for r in names}


Cost = tuple[int, int]


def conv(kernel: int, a: int, b: int, side: int) -> Cost:
    """A convolution with normalisation."""
    return kernel * kernel * a * b + 2 * b, kernel * kernel * a * b * side * side


def cell(name: str, a: int, b: int, side: int, halves: bool) -> Cost:
    """The cells of the space by their formulas; `side` is that of their result."""
    match name:
        case "skip":
            return conv(1, a, b, side)
        case "conv_bn_relu":
            return conv(3, a, b, side)
        case "conv_bn_relu2":
            return conv(5, a, b, side)
        case "residual":
            parts = [conv(3, a, b, side), conv(3, b, b, side)]
            return total(parts if a == b and not halves else [*parts, conv(1, a, b, side)])
        case "inverted_residual":
            hidden, before = 4 * a, side * 2 if halves else side
            inner = (9 * hidden + 2 * hidden, 9 * hidden * side * side)
            return total([conv(1, a, hidden, before), inner, conv(1, hidden, b, side)])
    raise AssertionError(name)


def total(parts: Sequence[Cost]) -> Cost:
    return sum(p for p, _ in parts), sum(m for _, m in parts)


def walked(routes: dict[str, Way], base: int = 4, side: int = 32) -> Cost:
    """Parameters and MACs: each cell once for all routes that agree on it and on everything before it."""
    cells: dict[tuple[object, ...], Cost] = {}
    ends = [conv(3, 3, base, side)]
    for way in routes.values():
        stride, width, passed, history = 2, base, [], ()
        layers = len(way.cells)
        for k, (name, units) in enumerate(zip(way.cells, way.units, strict=True), 1):
            halves = k in way.down
            if halves:
                passed.append(width)
                stride *= 2
            out = stride * base if k == layers else round(stride * base * units / 12)  # type: ignore[operator]
            history = (*history, name, out, halves)
            cells[history] = cell(name, width, out, 64 // stride, halves)
            width = out
        ends.append(conv(1, sum((*passed, width)), 8, side))
    head = 8 * len(routes) * 4
    return total([*cells.values(), *ends, (head, head * side * side)])


@pytest.mark.parametrize("layers", [4, 7])
def test_a_common_beginning_counts_once(layers: int) -> None:
    space = trellis(layers)
    rows = np.concatenate([space.decisions.sample(np.random.default_rng(1), 100), alike(space)])
    costs = space.costs(rows)
    shared = 0
    for row, parameters, macs in zip(rows.tolist(), costs["parameters"], costs["macs"], strict=True):
        routes = chosen(space, tuple(row))
        assert (parameters, macs) == walked(routes)
        shared += (parameters, macs) != total([walked({r: w}) for r, w in routes.items()])
    assert shared > 100


def alike(space: Compiled) -> np.ndarray:
    """Architectures whose routes begin alike: the genes of one route, for the first layers, in all."""
    rng = np.random.default_rng(2)
    rows = space.decisions.sample(rng, 400)
    index = {d.path: d.index for d in space.graph.decisions}
    for row in rows:
        for name in ROUTES:
            row[index[f"paths.{name}.open"]] = 0
        for k in range(1, 1 + int(rng.integers(space.settings["layers"] - 1))):
            for r in ROUTES[1:]:
                for gene in ("cell", "units"):
                    row[index[f"paths.{r}[{k}].{gene}"]] = row[index[f"paths.high[{k}].{gene}"]]
    rows = space.decisions.canonical(rows)
    return rows[space.decisions.feasible(rows)]


# every form of a network


def test_every_form_computes_the_same() -> None:
    space = trellis(4)
    store = Store(space.graph, seed=3)
    planner = Planner(space.graph, store)
    whole = supernet(space.graph, store)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    rows = np.concatenate([space.decisions.sample(np.random.default_rng(3), 4), alike(space)[:6]])
    for row in rows.tolist():
        genes = tuple(row)
        expected = planner(genes)(x)
        assert torch.equal(over_store(space.graph, store, genes)(x), expected)
        assert torch.equal(extract(space.graph, store, genes)(x), expected)
        whole.set_architecture(genes)
        assert torch.equal(whole(x), expected)


@pytest.mark.parametrize("path", [TRELLIS, SKIPS], ids=["trellis", "skips"])
def test_a_found_network_is_the_same_network(path: Path) -> None:
    space = compile_file(path, settings={"layers": 4})
    for row in space.decisions.sample(np.random.default_rng(4), 20).tolist():
        again = compile_text(found_text(space, tuple(row)), space)
        assert again.decisions.count().value == 1
        [only] = again.decisions.enumerate()
        assert costs(again, only) == costs(space, tuple(row))
        assert operations(again, only) == operations(space, tuple(row))


def costs(space: Compiled, genes: Genes) -> dict[str, int]:
    row = np.array([genes], dtype=np.int16).reshape(1, len(genes))
    return {name: int(column[0]) for name, column in space.costs(row).items()}


def operations(space: Compiled, genes: Genes) -> list[str]:
    """The names of the nodes computed; without the rank of a label, which a network of one cell lacks."""
    names = [space.graph.nodes[one.node].name for one in Specialiser(space.graph)(genes)]
    return [re.sub(r"(?<=[a-z])\d", "", name) for name in names]


def test_single_changes_and_crossings_stay_in_the_space() -> None:
    decisions = trellis(7).decisions
    rng = np.random.default_rng(5)
    parents = decisions.sample(rng, 10_000)
    assert decisions.feasible(parents).all()
    assert (decisions.canonical(parents) == parents).all()
    crossed = np.where(rng.random(parents.shape) < 0.5, parents, parents[::-1])
    drawn = np.stack([rng.integers(0, n, len(parents)) for n in decisions.cardinalities], axis=1)
    children = np.where(rng.random(parents.shape) < 0.02, drawn, crossed).astype(np.int16)
    mended = decisions.repair(children, rng)
    assert decisions.feasible(mended).all()
    assert (decisions.canonical(mended) == mended).all()


def test_training() -> None:
    space = trellis(4)
    pictures = Examples(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.zeros(2, 64, 64, dtype=torch.uint8), 4, 255)
    options = {"optimizer": Chosen("sgd", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0})}
    sandwich = Chosen("sandwich", {"random": 2, "distill": False})
    settings = {**options, "sample": sandwich, "steps": 2, "batch": 2, "seed": 1}
    trainer = SupernetTrainer(space, settings, pictures, torch.device("cpu"))
    before = trainer.store.flat.clone()
    assert np.isfinite(trainer.step())
    assert not torch.equal(trainer.store.flat, before)


# priors


def test_the_number_of_routes_follows_its_prior() -> None:
    last = "k in range(1, layers)])\n"
    line = "  prior count([r.open for r in paths.branches]) {0: 0, 1: 0.2, 2: 0.3, 3: 0.5}\n"
    space = changed(TRELLIS, (last, last + line))
    drawn = space.decisions.sample(np.random.default_rng(6), 4_000)
    opens = [d.index for d in space.graph.decisions if d.path.endswith(".open")]
    counts = np.bincount((drawn[:, opens] == 0).sum(axis=1), minlength=4)
    expected = 4_000 * np.array([0.2, 0.3, 0.5])
    assert counts[0] == 0
    assert ((counts[1:] - expected) ** 2 / expected).sum() < 13.8  # chi-squared of 2 degrees: once in a thousand
