"""HRViT as `.arch`: figures, names and numbers are those of the released networks; the facts are data in `facts/hrvit`."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text
from hrdsl.runtime.weights.importing import fit, names
from hrdsl.runtime.weights.maps import load

from . import published_hrvit as published
from . import vectors
from .published_hrvit import Config

torch.set_num_threads(1)

FOLDER = Path(__file__).parents[1] / "examples" / "hrvit"
FACTS = vectors.FACTS / "hrvit"
EVERY = sorted(FOLDER.glob("*.arch"))
WIDTHS = (32, 64, 128, 256)
"""Of the bottlenecks of the classification head."""


@cache
def fact(name: str) -> Any:
    return json.loads((FACTS / f"{name}.json").read_text())


@cache
def compiled(name: str, **settings: Any) -> Compiled:
    return compile_file(FOLDER / f"{name}.arch", settings=settings)


def config(name: str, windows: tuple[int, ...] = ()) -> Config:
    spec = fact("spec")[name]
    modules = tuple(map(tuple, spec["modules"]))
    windows = windows or tuple(spec["window"])
    return Config(tuple(spec["branch_channels"]), modules, spec["dim_head"], windows, tuple(spec["mixcfn_ratio"]))


def released(name: str, head: str, classes: int, windows: tuple[int, ...] = ()) -> nn.Module:
    c = config(name, windows)
    if head == "imagenet":
        return published.HRViT(c, published.Classifier(c.widths, WIDTHS, classes, 2048))
    return published.Segmentor(c, published.SegFormer(c.widths, 768 if name == "b3" else 256, classes))


def counted(network: nn.Module, *size: int) -> int:
    """Half of the operations that torch counts."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *size, device=next(network.parameters()).device))
    return counter.get_total_flops() // 2


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """With parameters and statistics that hide nothing, for evaluation."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                fan = value[0].numel() if value.dim() > 1 else 16
                value.copy_(torch.randn(value.shape, generator=noise) * fan**-0.5)
                if name.endswith("running_var"):
                    value.abs_().add_(0.5)
                elif value.dim() == 1 and name.endswith("weight"):
                    value.add_(1)
    return network.eval()


# texts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
def test_texts(path: Path) -> None:
    text = path.read_text()
    assert format_text(Source(path.name, text)) == text
    assert not compile_file(path).warnings


# figures -----------------------------------------------------------------------------------------------------------

CASES = [
    *((n, "imagenet", 224, 1000, (), "imagenet 224") for n in ("b1", "b2", "b3")),
    *((n, "segformer", 512, 19, (), "segformer 512, 19 classes") for n in ("b1", "b2", "b3")),
    *((n, "segformer", 512, 150, (), "segformer 512, 150 classes") for n in ("b1", "b2", "b3")),
    *(
        ("b3", "segformer", 512, 19, (1, 2, s, s), "b3 segformer 512, 19 classes, windows of the two low branches")
        for s in (7, 9, 11, 13, 15)
    ),
]


@pytest.mark.parametrize(("name", "head", "size", "classes", "windows", "row"), CASES, ids=str)
def test_figures(name: str, head: str, size: int, classes: int, windows: tuple[int, ...], row: str) -> None:
    """Those published, and for the most different ones to the last digit those of the network in plain torch."""
    settings = {"windows": windows} if windows else {"classes": classes}
    space = compiled(f"{name}_{head}", **settings)
    found = space.costs.one(())
    known = fact("published")[row][str(windows[3]) if windows else name]
    assert round(found["macs"] / 1e9, 3) == known["macs"]
    if "parameters" in known:
        assert known["parameters"] in (found["parameters"], round(found["parameters"] / 1e6, 3))
    if classes == 150 or windows[3:] not in ((), (15,)):
        return
    with torch.device("meta"):
        theirs = released(name, head, classes, windows).eval()
    assert found["parameters"] == sum(p.numel() for p in theirs.parameters())
    assert found["macs"] == counted(theirs, size, size)
    assert space.graph.input.extent == (size, size)
    assert not space.graph.decisions


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
def test_documented_figures(path: Path) -> None:
    """What a file says of its network."""
    if path.stem in ("space", "table5"):
        return
    found = compiled(path.stem).costs.one(())
    assert f"{found['parameters']:,} parameters" in path.read_text()
    assert f"{found['macs']:,} MACs" in path.read_text()


def test_torch_counts_the_same() -> None:
    network = extract(compiled("b1_imagenet").graph, None, ()).eval()
    assert counted(network, 224, 224) == compiled("b1_imagenet").costs.one(())["macs"]


def sums(space: Compiled, **places: str) -> dict[str, int]:
    """Parameters below some places."""
    sizes = {f"{n.name}.{w.name}": prod(axis.limit for axis in w.axes) for n in space.graph.nodes for w in n.weights}
    return {name: sum(n for path, n in sizes.items() if path.startswith(place)) for name, place in places.items()}


@pytest.mark.parametrize("name", ["b1", "b2", "b3"])
def test_parameters_of_each_module(name: str) -> None:
    known, space = fact("param_breakdown")[name], compiled(f"{name}_imagenet")
    whole = sums(space, stem="stem.", head="head.")
    assert whole == {"stem": known["stem"], "head": known["head_cls"]}
    assert fact("published")["backbone"][name] == space.costs.one(())["parameters"] - whole["head"]
    for m, module in enumerate(known["modules"], 1):
        for i, embed in enumerate(module["patch_embed"], 1):
            at = f"s{m}.b{i}"
            blocks = {str(k): f"{at}[{k}].block." for k in range(1, len(module["blocks"][i - 1]) + 1)}
            found = sums(space, embed=f"{at}.enter.embed.", norm=f"{at}.fuse.", **blocks)
            assert found.pop("embed") == embed
            assert found.pop("norm") == module["out_norm"][i - 1]
            assert list(found.values()) == module["blocks"][i - 1]
        paths = [path.split("<-") for path in module["fusion_paths"]]
        edges = {f"{i}<-{j}": f"s{m}.b{int(i) + 1}.enter.exchange.b{int(j) + 1}." for i, j in paths}
        assert sums(space, **edges) == module["fusion_paths"]
    parts = {
        "attn_norm": "mixed.ln",
        "attn": "mixed.cross_attention",
        "des": "shortcut",
        "ffn_norm": "ln",
        "ffn": "mix_feed_forward",
    }
    for i, block in enumerate(known["block_params_per_branch"], 1):
        assert sums(space, **{key: f"s6.b{i}[1].block.{part}." for key, part in parts.items()}) == block


ROWS = {
    "-kv": "shared_kv",
    "-pe": "efficient_embed",
    "-mix": "mix_cfn",
    "-pconv": "parallel_conv",
    "-nonlin": "nonlinearity",
    "-dense": "dense",
    "-des": "des",
}


@pytest.mark.parametrize("row", fact("table5_ablation"))
def test_table_5(row: str) -> None:
    """Each row is one architecture."""
    space, known = compiled("table5"), fact("table5_ablation")[row]
    every = {*ROWS.values()}
    off = {"base": set(), "-all": every - {"dense"}, "-all+sparse": every}.get(row) or {
        ROWS[r] for r in ROWS if r == row
    }
    genes = [d.labels.index("false" if d.path.split(".")[-1] in off else "true") for d in space.graph.decisions]
    found = space.costs.one(genes)
    assert (found["parameters"], found["macs"]) == (known["params"], known["macs"])
    assert space.counted("hrvit-paper").one(genes)["operations"] == known["paper_conv"]


def test_table_5_is_all_its_rows() -> None:
    space = compiled("table5")
    assert {d.path.split(".")[-1] for d in space.graph.decisions} == {*ROWS.values()}
    assert space.decisions.count().value == 2**7


# names -------------------------------------------------------------------------------------------------------------


def test_released_names_and_shapes() -> None:
    """Each tensor of the released b1 has its place, and each of ours a source."""
    shapes = {**fact("b1_param_shapes")["parameters"], **fact("b1_param_shapes")["buffers"]}
    network = extract(compiled("b1_imagenet").graph, None, ())
    made = fit(network, {name: torch.zeros(shape) for name, shape in shapes.items()}, *load("hrvit"), "")
    assert not made.faults
    tracked = {name for name in shapes if name.endswith("num_batches_tracked")}
    assert len(made.state) == len(network.state_dict())
    assert {*released("b1", "imagenet", 1000).state_dict()} == {*shapes} > tracked


def test_shapes_of_the_segmentation_head() -> None:
    known = [tuple(shape) for shape in fact("b1_segformer_head_shapes")["parameters"].values()]
    nodes = [n for n in compiled("b1_segformer").graph.nodes if n.name.startswith("head.")]
    assert sorted(tuple(axis.limit for axis in w.axes) for n in nodes for w in n.weights) == sorted(known)


def test_the_silent_factor() -> None:
    """The last normalisation of the attention begins with 0, all others with 1."""
    network = extract(compiled("b1_imagenet").graph, None, ())
    factors = {path: network.get_parameter(key) for path, key in names(network).items() if path.endswith("bn.weight")}
    silent = {path for path, factor in factors.items() if not factor.any()}
    assert silent == {path for path in factors if "cross_attention" in path}
    assert len(silent) == 35
    assert all((factor == 1).all() for path, factor in factors.items() if path not in silent)


# numbers -----------------------------------------------------------------------------------------------------------

Cell = tuple[str, str, str, str]
"""Of a case: the body of the cell, the place of what is imported, its section, the size of the input."""


def tokens(what: str) -> str:
    return f"head = tokens\n}}\ncell tokens() {{\n  out = x -> to_tokens -> hrvit.{what}"


CELLS: dict[str, Callable[[Mapping[str, Any]], Cell]] = {
    "HRViTAttention": lambda m: (
        tokens(f"cross_attention(x, {m['ws']}, {m['dim'] // m['heads']})"),
        "head.tokens.cross_attention",
        "attention",
        f"{m['dim']}, {m['H']}, {m['W']}",
    ),
    "HRViTBlock": lambda m: (
        f"head = hrvit.block({m['ws']}, {m['dim'] // m['heads']}, {m['mlp_ratio']})",
        "head.block",
        "block",
        f"{m['dim']}, {m['H']}, {m['W']}",
    ),
    "MixCFN": lambda m: (
        tokens(f"mix_feed_forward(x, {m['ratio']})"),
        "head.tokens.mix_feed_forward",
        "feed_forward",
        f"{m['dim']}, {m['H']}, {m['W']}",
    ),
    "DES": lambda m: (tokens("diverse_shortcut"), "head.tokens.diverse_shortcut", "shortcut", f"{m['dim']}, 11, 1"),
    "HRViTPatchEmbed": lambda m: (
        f"head = hrvit.embed({m['dim']})",
        "head.embed",
        "embed",
        f"{m['inc']}, {m['H']}, {m['W']}",
    ),
    "HRViTStem": lambda m: ("head = hrvit.stem", "head.stem", "stem", "3, 32, 24"),
}


def flat(found: Tensor) -> Tensor:
    """A map as tokens; tokens as they are."""
    return found.flatten(2).transpose(1, 2) if found.dim() == 4 else found


@pytest.mark.parametrize("name", vectors.cases("hrvit"))
def test_numeric_case(name: str, tmp_path: Path) -> None:
    case = vectors.read("hrvit", name)
    if case.meta["kind"] not in CELLS:
        several(case, tmp_path)
        return
    cell, at, section, size = CELLS[case.meta["kind"]](case.meta)
    text = f"use std.hrvit\nspace s {{\n  input = [{size}]\n  {cell}\n}}\n"
    network = vectors.network(text, case, f"hrvit:{section}", at=at, folder=tmp_path)
    x = case.input if case.input.dim() == 4 else vectors.as_map(case.input, int(size.split(", ")[1]))
    with torch.no_grad():
        found = network(x)
    vectors.check(found if found.shape == case.output.shape else flat(found), case.output)


SEVERAL = """use std.hrvit
cell own(to) { out = [flow for flow in x if flow.stride == to.stride] }
space s {
"""


def several(case: vectors.Case, folder: Path) -> None:
    """One fusion or one module: several maps in, several out."""
    meta, fused = case.meta, case.meta["kind"] == "HRViTFusionBlock"
    widths = meta["outc"] if fused else meta["channels"]
    extra = (
        [""] * len(widths)
        if fused
        else [f"window = {s}\nratio = {r}" for s, r in zip(meta["ws"], meta["ratios"], strict=True)]
    )
    height, columns = next(iter(case.inputs.values())).shape[2:]
    lines = [f"input = [3, {height}, {columns}]"]
    lines += [f"branch b{i + 1} at 1/{2**i} {{\nwidth = {w}\n{extra[i]}\n}}" for i, w in enumerate(widths)]
    before = ", ".join(f"b{i + 1}" for i in range(len(case.inputs)))
    every = ", ".join(f"b{i + 1}" for i in range(len(widths)))
    lines += [f"stem = conv(1, width = {widths[0]})", f"stage s1 on {before} {{ cell = relu }}"]
    if fused:
        lines += [f"stage s2 on {every} {{ enter = hrvit.exchange }}"]
        outputs = [f"s2.b{i + 1}.enter.exchange.gelu" for i in range(len(widths))]
    else:
        lines += [
            f"stage s2 on {every} {{\nenter = own -> hrvit.embed\ncell = hrvit.block(head_width = {meta['dim_head']})"
        ]
        lines += [f"times = {meta['blocks']}\nfuse = hrvit.finish\n}}"]
        outputs = [f"s2.b{i + 1}.fuse.finish.b{i + 1}.ln" for i in range(len(widths))]
    lines += ["head = hrvit.segment(classes = 2, width = 4)"]
    text, section = SEVERAL + "\n".join(lines) + "\n}\n", "fusion" if fused else "module"
    network = vectors.network(
        text, case, f"hrvit:{section}", at="s2", fresh=("stem.**", "s1.**", "head.**"), folder=folder
    )
    feeds = [f"s1.b{i + 1}[1].relu" for i in range(len(case.inputs))]
    with torch.no_grad():
        found = vectors.part(network, feeds, outputs)(*case.inputs.values())
    vectors.check(found, list(case.outputs.values()))


# the general path, against plain torch -------------------------------------------------------------------------------

MODULES: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "HRViTAttention": lambda m: published.Attention(m["dim"], m["dim"] // m["heads"], m["ws"]),
    "HRViTBlock": lambda m: published.Block(m["dim"], m["dim"] // m["heads"], m["ws"], m["mlp_ratio"]),
    "MixCFN": lambda m: published.MixCFN(m["dim"], m["ratio"]),
    "DES": lambda m: published.Shortcut(m["dim"]),
    "HRViTPatchEmbed": lambda m: published.Embed(m["inc"], m["dim"]),
    "HRViTStem": lambda m: published.Stem(64),
    "HRViTFusionBlock": lambda m: published.Fusion(m["inc"], m["outc"]),
    "HRViTStage": lambda m: published.Stage(
        m["channels"], Config(tuple(m["channels"]), (), m["dim_head"], tuple(m["ws"]), tuple(m["ratios"])), m["blocks"]
    ),
}


@pytest.mark.parametrize("name", vectors.cases("hrvit"))
def test_plain_torch_is_as_released(name: str) -> None:
    """What the general path is compared with computes the numeric cases."""
    case = vectors.read("hrvit", name)
    module = MODULES[case.meta["kind"]](case.meta).eval()
    module.load_state_dict(dict(case.state), strict=False)
    assert {*case.state} >= {n for n, _ in module.named_parameters()}
    with torch.no_grad():
        if len(case.inputs) > 1:
            found = module(list(case.inputs.values()))
        else:
            found = module(
                *case.inputs.values(), *([case.meta["H"]] if name.startswith(("attn", "block", "mix")) else [])
            )
    vectors.check(found, case.output if len(case.outputs) == 1 else list(case.outputs.values()))


def single(module: nn.Module, case: str, meta: Mapping[str, Any], folder: Path) -> None:
    """A part of its own: the same state, the same numbers."""
    randomised(module)
    cell, at, section, size = CELLS[case](meta)
    sides = [int(n) for n in size.split(", ")]
    x = torch.randn(2, *sides, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = module(flat(x), *([sides[1]] if case != "DES" else []))
        made = vectors.Case("made", {}, module.state_dict(), {"x": x}, {"y": theirs}, {}, {}, {}, {})
        text = f"use std.hrvit\nspace s {{\n  input = [{size}]\n  {cell}\n}}\n"
        vectors.check(flat(vectors.network(text, made, f"hrvit:{section}", at=at, folder=folder)(x)), theirs)


@pytest.mark.parametrize(
    ("dim", "heads", "ws", "height", "columns"),
    [
        (24, 3, 2, 6, 5),
        (24, 3, 7, 10, 9),
        (16, 1, 7, 10, 9),
        (48, 6, 5, 12, 3),
        (240, 10, 7, 16, 16),
        (32, 4, 15, 16, 8),
    ],
)
def test_attention(dim: int, heads: int, ws: int, height: int, columns: int, tmp_path: Path) -> None:
    meta = {"dim": dim, "heads": heads, "ws": ws, "H": height, "W": columns}
    single(MODULES["HRViTAttention"](meta), "HRViTAttention", meta, tmp_path)


@pytest.mark.parametrize("dim", [8, 24, 32, 48, 96, 128, 240, 384, 512])
def test_shortcut(dim: int, tmp_path: Path) -> None:
    single(MODULES["DES"]({"dim": dim}), "DES", {"dim": dim}, tmp_path)


@pytest.mark.parametrize(("dim", "ratio"), [(8, 3), (16, 2.5), (48, 2)])
def test_feed_forward(dim: int, ratio: float, tmp_path: Path) -> None:
    meta = {"dim": dim, "ratio": ratio, "H": 5, "W": 6}
    single(MODULES["MixCFN"](meta), "MixCFN", meta, tmp_path)


TINY = Config(
    (8, 16, 32, 48),
    ((1,), (1, 1), (1, 1, 2), (1, 1, 1), (1, 1, 2, 1), (1, 1, 1, 1)),
    8,
    (1, 2, 3, 3),
    (4, 3, 2, 2),
    stem=16,
)
ODD = Config((12, 24, 40, 96), ((2,), (1, 2), (1, 1, 1), (2, 1, 1, 1)), 8, (2, 3, 5, 2), (2, 4, 3, 1), stem=8)


def text_of(c: Config, head: str, height: int, columns: int) -> str:
    lines = [f"input = [3, {height}, {columns}]", f"stem = hrvit.stem({c.stem})"]
    lines += ["enter = hrvit.exchange -> hrvit.embed", "cell = hrvit.block", "fuse = hrvit.finish"]
    lines += [f"head_width = {c.dim_head}"]
    for i, (w, s, r) in enumerate(zip(c.widths, c.windows, c.ratios, strict=True)):
        lines += [f"branch b{i + 1} at 1/{4 * 2**i} {{\nwidth = {w}\nwindow = {s}\nratio = {r}\n}}"]
    for m, blocks in enumerate(c.modules):
        on = ", ".join(f"b{i + 1}" for i in range(len(blocks)))
        lines += [f"stage s{m + 1} on {on} {{ times = {list(blocks)} }}"]
    return "use std.hrvit\nspace s {\n" + "\n".join([*lines, f"head = hrvit.{head}"]) + "\n}\n"


@pytest.mark.parametrize(("c", "height", "columns"), [(TINY, 96, 64), (ODD, 64, 128), (ODD, 160, 96)], ids=str)
@pytest.mark.parametrize("head", ["classify", "segment"])
def test_whole_network(c: Config, height: int, columns: int, head: str, tmp_path: Path) -> None:
    """Widths, depths, windows and ratios of their own; windows that do not fill the maps."""
    if head == "classify":
        widths = [2, 4, 6, 8]
        theirs: nn.Module = published.HRViT(c, published.Classifier(c.widths, widths, 10, 2048))
        text = text_of(c, f"classify(10, {[4 * w for w in widths]})", height, columns)
    else:
        theirs = published.Segmentor(c, published.SegFormer(c.widths, 12, 7))
        text = text_of(c, "segment(7, 12)", height, columns)
    randomised(theirs)
    x = torch.randn(2, 3, height, columns, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        wanted = theirs(x)
        made = vectors.Case("made", {}, theirs.state_dict(), {"x": x}, {"y": wanted}, {}, {}, {}, {})
        chart = "hrvit" if head == "classify" else "hrvit:segmentor"
        network = vectors.network(text, made, chart, folder=tmp_path)
        vectors.check(network(x), wanted)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in theirs.parameters())


# the searched space ------------------------------------------------------------------------------------------------


def test_the_space_holds_b1() -> None:
    c, space = config("b1"), compiled("space")
    chosen: dict[str, Any] = {f"b{i + 1}.width": w for i, w in enumerate(c.widths)}
    chosen |= {f"b{i + 1}.window": s for i, s in enumerate(c.windows)}
    chosen |= {f"b{i + 1}.ratio": r for i, r in enumerate(c.ratios)}
    chosen |= {f"s{m + 1}.b{i + 1}.times": n for m, blocks in enumerate(c.modules) for i, n in enumerate(blocks)}
    assert {*chosen} <= {d.path for d in space.graph.decisions}
    genes = [d.values.index(chosen.get(d.path, True)) for d in space.graph.decisions]
    assert space.costs.one(genes) == compiled("b1_segformer").costs.one(())


def test_the_space_in_small() -> None:
    """Architectures of the reduced space run, and cost what torch counts."""
    space = compiled("space", size=64, base=8, classes=11)
    assert space.decisions.count().exact
    for row in space.decisions.sample(np.random.default_rng(0), 3):
        genes = tuple(int(g) for g in row)
        network, costs = extract(space.graph, None, genes), space.costs.one(genes)
        assert counted(network.eval(), 64, 64) == costs["macs"]
        assert sum(p.numel() for p in network.parameters()) == costs["parameters"]
