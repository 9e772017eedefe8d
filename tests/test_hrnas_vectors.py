"""Numeric cases of the released HR-NAS: its blocks, transformers, fusions and small networks, imported and computed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from hrdsl.compiler.graph import Graph

from . import vectors

torch.set_num_threads(1)
EXAMPLES = Path(__file__).parents[1] / "examples" / "hrnas"
CASES = vectors.cases("hrnas")
BLOCKS = [n for n in CASES if n.startswith("block_") and not n.endswith("_train")]
FUSIONS = [n for n in CASES if n.startswith("fuse_")]
NETWORKS = [n for n in CASES if n.startswith("net_")]


def test_every_case_is_computed() -> None:
    others = {"block_normal_18_18_train", "transformer_18_n8_s8"}
    assert {*BLOCKS, *FUSIONS, *NETWORKS, *others} == {*CASES}


def listed(items: Any) -> str:
    return f"[{', '.join(map(str, items))}]"


def settings(meta: dict[str, Any]) -> str:
    """The arguments of a block, as the case tells them."""
    widths = listed(f"{h}/{meta['c_in']}" for h in meta["hidden"])
    plain = "expansion = false, " if meta["expand"] == 1 else ""
    return f"width = {meta['c_out']}, stride = {meta['stride']}, expands = {widths}, {plain}{shared(meta)}"


def shared(meta: dict[str, Any]) -> str:
    """What blocks alone and the blocks of a fusion are told."""
    where = "everywhere" if meta.get("transformer_on_non_residual", True) else "identity"
    where = where if meta.get("tokens") else "off"
    expand = meta["expand"]
    return (
        f"kernels = {listed(meta['kernels'])}, {f'expand = {expand}, ' if expand else ''}norm = bn(1/1000, 1/100), "
        f'where = "{where}", transformer = hrnas.lightweight_transformer(most = {meta.get("tokens") or 1}, side = {meta["s"]})'
    )


def block(case: vectors.Case) -> str:
    meta = {"stride": 1, "s": 8, "hidden": [72, 72, 72], **case.meta}
    return (
        f"use std.hrnas\nspace s {{\n  input = {listed(case.input.shape[1:])}\n"
        f"  head = hrnas.searching_block({settings(meta)})\n}}\n"
    )


@pytest.mark.parametrize("name", BLOCKS)
def test_block(name: str, tmp_path: Path) -> None:
    case = vectors.read("hrnas", name)
    path = vectors.space(block(case), tmp_path, {})
    network = vectors.network(path, case, "hrnas:block", at="head.searching_block", folder=tmp_path)
    vectors.check(network(case.input), case.output)


def test_training_step_of_a_block(tmp_path: Path) -> None:
    case = vectors.read("hrnas", "block_normal_18_18_train")
    path = vectors.space(block(case), tmp_path, {})
    network = vectors.network(path, case, "hrnas:block", at="head.searching_block", folder=tmp_path)
    vectors.check_training(network, case, "hrnas:block", "grad_out", at="head.searching_block")


def test_stages_of_a_transformer(tmp_path: Path) -> None:
    """The transformer alone, without the shortcut that it has within a block that keeps the shape."""
    case = vectors.read("hrnas", "transformer_18_n8_s8")
    text = (
        f"use std.hrnas\ncell alone() {{ out = x -> hrnas.token_mixer(width = 18, like = x, tokens = 8) }}\n"
        f"space s {{\n  input = {listed(case.input.shape[1:])}\n  head = alone\n}}\n"
    )
    at = "head.alone.token_mixer"
    network = vectors.network(text, case, "hrnas:transformer", at=at, folder=tmp_path)
    vectors.check(network(case.input) + case.input, case.output)
    taps = {
        "memory.conv": case.taps["input_proj"],
        "memory.bn": case.taps["input_norm"],
        "memory.encoder.feed_forward.ln": case.taps["encoder_out_LBE"].transpose(0, 1),
        "mixed.yes.decoder.feed_forward.ln": case.taps["decoder_out_LBE"].transpose(0, 1),
        "conv": case.taps["reverse_proj"],
        "bn": case.taps["reverse_norm"],
        "placed.yes.coordinates": case.taps["position_map"].expand(2, -1, -1, -1),
    }
    found = vectors.part(network, ["x"], [f"{at}.{tap}" for tap in taps])
    vectors.check(found(case.input), list(taps.values()))


# fusions -----------------------------------------------------------------------------------------------------------


def fusion(case: vectors.Case) -> str:
    """Branches that begin with a layer of their own, their exchange, and the branch that grows behind it."""
    before, after = case.meta["in_channels"], case.meta["out_channels"]
    names = [f"b{i + 1}" for i in range(len(after))]
    old = ", ".join(names[: len(before)])
    begin = listed(f"begin({w}, {2**i})" for i, w in enumerate(before))
    fuse = listed(f"hrnas.exchange(width = {w})" for w in after[: len(before)])
    lines = [
        "use std.hrnas",
        "cell begin(width, stride) { out = x[0] -> conv(1, width, stride) }",
        "cell pick(k) { out = x[k] }",
        "space s {",
        f"input = {listed((1, *case.inputs['0'].shape[2:]))}",
        f"block = hrnas.searching_block({shared(case.meta)})",
        *(f"branch {n} at 1/{2**i} {{ width = {w} }}" for i, (n, w) in enumerate(zip(names, after, strict=True))),
        f"stage s1 on {old} {{\n enter = {begin}\n fuse = {fuse}\n}}",
        f"stage s2 on {', '.join(names)} {{ enter = hrnas.enter }}",
        "heads {",
        *(f"o{i} = pick({i})" for i in range(len(after))),
        "}\n}\n",
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("name", FUSIONS)
def test_fusion(name: str, tmp_path: Path) -> None:
    case = vectors.read("hrnas", name)
    path = vectors.space(fusion(case), tmp_path, {})
    network = vectors.network(path, case, "hrnas:fusion_and_growth", folder=tmp_path, fresh=["s1.*.enter.**"])
    found = through(network, vectors.compile_file(path).graph)(*case.inputs.values())
    vectors.check(found, list(case.outputs.values()))


def through(network: fx.GraphModule, graph: Graph) -> fx.GraphModule:
    """From the beginnings of the branches to the outputs."""
    begun = [n.name for n in graph.nodes if n.name.endswith("enter.begin.conv")]
    return vectors.part(network, begun, [made(graph, i) for i in graph.nodes[graph.output].inputs if i is not None])


def made(graph: Graph, i: int) -> str:
    """The node that computes what node i passes on."""
    while graph.nodes[i].op.name == "identity":
        (source,) = graph.nodes[i].inputs
        assert source is not None
        i = source
    return graph.nodes[i].name


# networks ----------------------------------------------------------------------------------------------------------


def of_network(case: vectors.Case) -> tuple[str, dict[str, Any]]:
    """The example, and the values of its parameters."""
    meta = case.meta
    rows = meta["inverted_residual_setting"]
    values = {
        "height": case.input.shape[2],
        "columns": case.input.shape[3],
        "classes": meta["num_classes"],
        "stem_width": meta["input_channel"][0],
        "first": rows[0][2][0],
        "widths": tuple(rows[-1][2]),
        "blocks": (rows[0][1][0], *rows[-1][1]),
        "again": len(rows) == 5,
        "last": meta["over"]["last_channel"],
        "expand": meta["expand_ratio"],
    }
    if meta["task"] == "classification":
        values["head_widths"] = tuple(meta["over"]["head_channels"])
    if meta["tokens"]:
        where = "everywhere" if meta["T_on_non_residual"] else "identity"
        values |= {"where": where, "tokens": meta["tokens"], "side": meta["s"]}
    if meta["over"].get("fcn_head_for_seg"):
        values["layer"] = "convolution"
    return meta["base_config"].partition("_")[2], values


def written(value: Any) -> str:
    """A value as the language writes it."""
    if isinstance(value, tuple):
        return listed(value)
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, tmp_path: Path) -> None:
    """The example at the size of the case: its output, and the branches behind each stage."""
    case = vectors.read("hrnas", name)
    example, values = of_network(case)
    path = vectors.closed(EXAMPLES / f"{example}.arch", tmp_path, {}, **values)
    given = [f"{k}={written(v)}" for k, v in values.items()]
    network = vectors.network(path, case, "hrnas:network", folder=tmp_path, settings=given)
    vectors.check(network(case.input), case.output)
    graph = vectors.compile_file(path, settings=values).graph
    ends = [behind(tap, [n.name for n in graph.nodes]) for tap in case.taps]
    for found, tap in zip(vectors.part(network, ["x"], ends)(case.input), case.taps.values(), strict=True):
        vectors.check(found[:, : tap.shape[1]], tap)


def behind(tap: str, nodes: list[str]) -> str:
    """The node that ends a branch behind `features.i`: a fusion or growth for an even i, the last cell for an odd one."""
    place = [int(n) for n in tap.removeprefix("features.").split(".")]
    if len(place) == 1:
        return "head.classification_head.features.global_pool"
    index, stage, b = place[0], place[0] // 2, f"b{place[1] + 1}"
    if index == 0:
        return next(
            n for n in nodes if n.startswith("stem.") and n.endswith("relu") and "half" not in n and "block" not in n
        )
    if index % 2:
        mine = [n for n in nodes if n.startswith(f"s{stage + 1}.{b}[") and n.endswith("searching_block.sum")]
        return mine[-1]
    grown = [n for n in nodes if n.startswith(f"s{stage + 1}.{b}.enter.") and n.endswith("searching_block.sum")]
    return grown[0] if grown else f"s{stage}.{b}.fuse.exchange.activation.relu"
