"""Pictures: what an outline says, its DOT text against golden files, and drawing with and without a renderer."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hrdsl.compiler import draw as drawing
from hrdsl.compiler.api import compile_file, compile_module
from hrdsl.compiler.draw import dot, draw
from hrdsl.compiler.found import found_text
from hrdsl.compiler.graph import Graph
from hrdsl.compiler.grid import Grid
from hrdsl.compiler.labels import colours, font
from hrdsl.compiler.outline import outline
from hrdsl.compiler.picture import Outline
from hrdsl.compiler.placed import placed
from hrdsl.compiler.svg import lean
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden" / "draw"
ROUTES = ROOT / "tests" / "routes" / "trellis.arch"
EXAMPLES = ROOT / "examples"
CLASSICS = EXAMPLES / "classics"
TINY = ROOT / "examples" / "tiny.arch"
ONE = {"coarse.width": "32", "s2.times": "2", "s2.fine.light_attention.heads": "2", "s2.fine.cell": "light_attention"}
LARGEST = {
    "coarse.width": "48",
    "s2.times": "3",
    "s2.fine.cell": "light_attention",
    "s2.coarse.cell": "light_attention",
}
GATED = """hrdsl 1

use std.blocks
use std.fusion

space gated() {
  input = [3, 32, 32]
  stem = blocks.conv_bn_relu(3, stride = 2, width = 8) -> blocks.conv_bn_relu(3, width = 8)
  branch a at 1/2 { width = 8 }
  branch b at 1/4 { width in 8..16 }
  branch c at 1/8 { width = 24 }
  stage s1 on a { cell = blocks.inverted_residual(kernel in {3, 5}) }
  stage s2 on a, b, c { cell = blocks.residual fuse = fusion.gated_exchange }
  stage s3 on a, b {
    cell = blocks.residual
    fuse = fusion.exchange
  }
  head = fusion.concat_up -> conv(1, width = 4)
}
""".replace("{ cell = blocks.residual fuse", "{\n    cell = blocks.residual\n    fuse").replace(
    "exchange }", "exchange\n  }"
)
PLAIN = """hrdsl 1

space plain() {
  input = [3, 32, 32]
  stem = conv(3, 8, stride = 2) -> relu
  head = conv(1, width = 4)
}
"""


@pytest.fixture(scope="module")
def tiny() -> Graph:
    return compile_file(TINY).graph


@pytest.fixture
def gated(tmp_path: Path) -> Graph:
    return compiled(tmp_path, GATED)


def compiled(folder: Path, text: str) -> Graph:
    (folder / "a.arch").write_text(text)
    return compile_file(folder / "a.arch").graph


def genes_of(graph: Graph, chosen: dict[str, str] | None) -> list[int] | None:
    """An architecture by its choices; the first value of all others."""
    return None if chosen is None else [d.labels.index(chosen.get(d.path, d.labels[0])) for d in graph.decisions]


def find(picture: Outline, key: str) -> str:
    """A box in one line."""
    box = next(b for b in picture.boxes if b.key == key)
    options = " | ".join(
        " ".join((o.name, *([f"x{o.times}"] if o.times > 1 else []), *map(str, o.settings))) for o in box.options
    )
    return "; ".join(filter(None, (options, *map(str, box.settings), box.size, box.note)))


# outlines


def test_a_space_shows_every_choice(tiny: Graph) -> None:
    picture = outline(tiny)
    assert picture.title == "space tiny"
    assert picture.decisions == 6
    assert [(t.name, t.place, str(t.width)) for t in picture.lanes] == [
        ("fine", "1/2", "width = 16"),
        ("coarse", "1/4", "width in {24, 32, 48}"),
    ]
    assert find(picture, "s2.coarse[1]") == "residual | light_attention heads in {1, 2}; 24|32|48 @ 1/4"
    assert find(picture, "s2.fine[2]") == "residual | light_attention heads in {1, 2}; 16 @ 1/2; times >= 2"
    assert find(picture, "s2.fine[3]").endswith("times = 3")
    assert find(picture, "stem") == "conv_bn_relu; 16 @ 1/2"
    assert find(picture, "input") == "input; 3 x 64 x 64"


def test_an_architecture_shows_what_it_has(tiny: Graph) -> None:
    picture = outline(tiny, genes_of(tiny, ONE))
    assert picture.decisions == 0
    assert not any(b.open or b.note for b in picture.boxes)
    assert [b.key for b in picture.boxes if b.role == "slot"] == [
        "s1.fine[1]",
        "s2.fine[1] .. s2.fine[2]",
        "s2.coarse[1] .. s2.coarse[2]",
    ]
    assert find(picture, "s2.fine[1] .. s2.fine[2]") == "light_attention x2 heads = 2; 16 @ 1/2"
    assert find(picture, "s2.coarse[1] .. s2.coarse[2]") == "residual x2; 32 @ 1/4"
    assert str(picture.lanes[1].width) == "width = 32"
    assert ("s2.fine[1] .. s2.fine[2]", "s2.coarse.fuse", "down 2") in {
        (k.source, k.target, k.does) for k in picture.links
    }


def test_gates_belong_to_links(gated: Graph) -> None:
    links = {(k.source, k.target): k for k in outline(gated).links}
    searched = {ends for ends, k in links.items() if k.gates}
    lanes = ("a", "b", "c")
    assert searched == {(f"s2.{i}[1]", f"s2.{j}.fuse") for i in lanes for j in lanes if i != j}
    link = links["s2.a[1]", "s2.c.fuse"]
    assert (link.does, [str(s) for s in link.gates]) == ("down 4", ["open in {true, false}"])
    assert find(outline(gated), "s2.c.fuse") == "gated_exchange; 24 @ 1/8"
    assert find(outline(gated), "s1.a[1]") == "inverted_residual kernel in {3, 5}; 8 @ 1/2"


def test_a_closed_gate_is_not_drawn(gated: Graph) -> None:
    genes = [len(d) - 1 for d in gated.decisions]
    assert not [
        k for k in outline(gated, genes).links if k.target.startswith("s2") and k.target.endswith("fuse") and k.does
    ]


def test_a_network_without_choices_is_all_closed(tmp_path: Path) -> None:
    picture = outline(compiled(tmp_path, PLAIN))
    assert picture.title == "network plain"
    assert [b.key for b in picture.boxes] == ["input", "stem", "head"]
    assert find(picture, "stem") == "conv -> relu; 8 @ 1/2"
    assert [(k.source, k.target) for k in picture.links] == [("input", "stem"), ("stem", "head")]


def test_long_domains_are_cut(gated: Graph) -> None:
    assert str(outline(gated).lanes[1].width) == "width in {8, 9, ..., 16}"


# DOT


@pytest.mark.parametrize(("name", "chosen"), [("tiny.space", None), ("tiny.one", ONE)])
def test_dot_is_as_it_was(
    tiny: Graph, name: str, chosen: dict[str, str] | None, golden: Callable[[Path, str], None]
) -> None:
    golden(GOLDEN / f"{name}.dot", dot(outline(tiny, genes_of(tiny, chosen))))


def test_gated_dot_is_as_it_was(gated: Graph, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / "gated.space.dot", dot(outline(gated)))


@pytest.mark.parametrize("chosen", [None, ONE, {}, LARGEST])
def test_every_lane_and_every_box_is_drawn(tiny: Graph, chosen: dict[str, str] | None) -> None:
    picture = outline(tiny, genes_of(tiny, chosen))
    text = dot(picture)
    for track in picture.lanes:
        assert f'"branch {track.name}" [' in text
    for box in picture.boxes:
        assert f'"{box.key}" [' in text
    for link in picture.links:
        assert f'"{link.source}" -> ' in text and f' -> "{link.target}"' in text


def test_nothing_but_points_is_hidden() -> None:
    picture = outline(compile_file(ROOT / "examples" / "single_branch.arch").graph)
    hidden = [line for line in dot(picture).splitlines() if "invis" in line and "->" not in line]
    assert picture.lanes and picture.boxes
    assert all('shape="point"' in line for line in hidden)


def test_links_that_skip_columns_stay_in_their_lane(gated: Graph) -> None:
    text = dot(outline(gated))
    ways = re.findall(r'^  "(s2\.c\.fuse|c \d+)" -> "(c \d+|head)" (?!\[style="invis")', text, re.MULTILINE)
    assert ways[0][0] == "s2.c.fuse" and ways[-1][1] == "head"
    assert [a for a, _ in ways[1:]] == [b for _, b in ways[:-1]]


def test_the_legend_names_what_is_drawn(tiny: Graph) -> None:
    def keys(chosen: dict[str, str] | None) -> set[str]:
        first = dot(outline(tiny, genes_of(tiny, chosen))).splitlines()[1]
        return set(re.findall(r'<TD STYLE="rounded" BGCOLOR="#\w+"><FONT[^>]*>(\w+)</FONT>', first))

    assert keys(None) == {"grow", "light_attention", "residual"}
    assert keys({}) == {"grow", "residual"}


def test_a_name_keeps_its_colour(tiny: Graph) -> None:
    cells = outline(tiny).cells
    assert dict(cells) == {
        "exchange": "fusion",
        "grow": "convolution",
        "light_attention": "attention of all pixels",
        "residual": "convolution",
    }
    assert len(set(colours(cells).values())) == 4
    assert outline(tiny, (0,) * 6).cells == cells


def test_names_are_escaped() -> None:
    assert drawing.quote('a"b\\') == '"a\\"b\\\\"'
    assert "&lt;3&gt;" in font("<3>", 10)


def test_dot_does_not_depend_on_hashes() -> None:
    script = f"""
from hrdsl.compiler.api import compile_file
from hrdsl.compiler.draw import dot
from hrdsl.compiler.outline import outline
print(dot(outline(compile_file({str(TINY)!r}).graph)))
"""
    paths = os.pathsep.join(filter(None, (str(ROOT / ".path"), os.environ.get("PYTHONPATH", ""))))
    texts = set()
    for seed in ("0", "1", "2"):
        settings = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        texts.add(subprocess.run([sys.executable, "-c", script], env=settings, capture_output=True, check=True).stdout)
    assert len(texts) == 1


# pictures


def without_renderers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(drawing, "find_spec", lambda name: None)


def test_without_a_renderer_the_text_is_kept(tiny: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_renderers(monkeypatch)
    done = draw(dot(outline(tiny)), tmp_path / "tiny.svg")
    assert done.path == tmp_path / "tiny.dot"
    assert "hrdsl[render]" in done.hint
    assert done.path.read_text() == dot(outline(tiny))
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.dot"]


def test_a_failing_renderer_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [[sys.executable, "-c", "import sys; sys.exit('no fonts')"], ["/nowhere/dot"]]
    monkeypatch.setattr(drawing, "renderers", lambda form: iter(failing))
    done = draw("digraph {}", tmp_path / "a.png")
    assert done.path.suffix == ".dot"
    assert "no fonts" in done.hint and "/nowhere/dot" in done.hint


def test_the_suffix_says_what_is_written(tmp_path: Path) -> None:
    assert draw("digraph {}", tmp_path / "a.dot") == drawing.Drawn(tmp_path / "a.dot")
    assert ".svg, .png, .pdf" in draw("digraph {}", tmp_path / "a.gif").hint


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
@pytest.mark.parametrize("place", [0, -1])
def test_each_renderer_draws(
    tiny: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, start: bytes, place: int
) -> None:
    commands = list(drawing.renderers(suffix[1:]))
    if not commands:
        pytest.skip("no renderer here")
    monkeypatch.setattr(drawing, "renderers", lambda form: iter([commands[place]]))
    done = draw(dot(outline(tiny)), tmp_path / f"tiny{suffix}")
    assert done == drawing.Drawn(tmp_path / f"tiny{suffix}")
    assert done.path.read_bytes().startswith(start)


def test_routes_are_cells_by_layer_and_stride() -> None:
    """Each layer and stride is one box with the cells that it can be; in an architecture, with those of its routes."""
    space = compile_file(ROUTES, settings={"layers": 4})
    whole = outline(space.graph)
    slots = [b for b in whole.boxes if b.role == "slot"]
    assert {b.key for b in slots} == {
        *(f"paths.{lane}[{k}]" for lane in ("high", "middle") for k in range(1, 5)),
        *(f"paths.low[{k}]" for k in range(2, 5)),
    }
    assert all("residual" in [o.name for o in b.options] for b in slots)
    assert ("paths.high[1]", "paths.middle[2]") in {(k.source, k.target) for k in whole.links}
    one = outline(space.graph, space.decisions.largest())
    assert one.cells == whole.cells
    assert not any(b.open for b in one.boxes)
    assert all(len(b.options) == 1 for b in one.boxes)


def test_several_heads_have_a_box_each() -> None:
    text = (
        "hrdsl 1\nuse std.fusion\nspace two {\n  input = [3, 8, 8]\n  branch fine at 1/1 { width = 4 }\n"
        "  stage s on fine { cell = conv(3) }\n  heads {\n    labels = concat -> conv(1, width = 4)\n"
        "    depth = concat -> conv(3, width = 1)\n  }\n}\n"
    )
    picture = outline(compile_module(load_source(Source("two.arch", text), Path())).graph)
    assert [b.key for b in picture.boxes if b.role == "head"] == ["heads.labels", "heads.depth"]
    grid = Grid(picture)
    assert len({b.column for b in picture.boxes if b.role == "head"}) == 1
    assert [grid.rows[key] for key in ("heads.labels", "heads.depth")] == ["fine", "clear row 1"]


def test_input_and_stem_stand_in_the_lane_of_their_resolution() -> None:
    heads = Grid(outline(compile_file(ROOT / "tests" / "golden" / "constructs" / "heads.arch").graph))
    assert [heads.rows[key] for key in ("input", "heads.labels", "heads.edges")] == ["fine", "fine", "coarse"]
    trellis = compile_file(ROUTES, settings={"layers": 4})
    rows = Grid(outline(trellis.graph)).rows
    assert (rows["input"], rows["stem"]) == ("high", "high")


def test_long_lines_run_through_clear_places() -> None:
    """No line is more than a column long but through places without a box."""
    files = [ROUTES, TINY, *(f for f in CLASSICS.glob("*.arch") if f.stem != "hrnet")]
    for file in files:
        picture = outline(compile_file(file, settings={"layers": 4} if file is ROUTES else {}).graph)
        grid = Grid(picture)
        assert not set(grid.joints) & set(grid.taken), file
        for a, b in grid.pieces:
            assert abs(grid.columns_at[a] - grid.columns_at[b]) <= 1, (file, a, b)


def test_equal_slots_are_one_box() -> None:
    """HRNet by its definition: four blocks in each branch and round, so as many boxes as branches and rounds."""
    picture = outline(compile_file(CLASSICS / "hrnetv2_w18.arch").graph)
    slots = [b for b in picture.boxes if b.role == "slot"]
    assert len(slots) == 1 + 2 * 1 + 3 * 4 + 4 * 3
    assert all(b.options[0].times == 4 for b in slots)
    fused = Counter(b.column for b in picture.boxes if b.role == "fuse")
    assert [fused[column] for column in sorted(fused)] == [2, 3, 3, 3, 3, 4, 4, 4]


def test_slots_with_choices_of_their_own_stay_apart(tiny: Graph) -> None:
    assert [b.key for b in outline(tiny).boxes if b.stage == "s2" and b.lane == "fine" and b.role == "slot"] == [
        f"s2.fine[{k}]" for k in (1, 2, 3)
    ]
    slots = [b for b in outline(compile_file(ROUTES, settings={"layers": 4}).graph).boxes if b.role == "slot"]
    assert not any(" .. " in b.key for b in slots)


def test_a_chain_of_chains_shows_its_cells() -> None:
    """ResNet-50 has 3, 4, 6 and 3 bottlenecks (He et al. 2016, Table 1)."""
    picture = outline(compile_file(CLASSICS / "resnet50.arch").graph)
    shown = [(b.options[0].name, b.options[0].times, b.size) for b in picture.boxes]
    assert shown[2:6] == [
        ("bottleneck", 3, "256 @ 1/4"),
        ("bottleneck", 4, "512 @ 1/8"),
        ("bottleneck", 6, "1024 @ 1/16"),
        ("bottleneck", 3, "2048 @ 1/32"),
    ]
    assert [name for name, _, _ in shown] == ["input", "pooled", *["bottleneck"] * 4, "global_pool", "linear"]


# the systems


def system(name: str, space: str | None = None, **settings: object) -> Graph:
    return compile_file(EXAMPLES / f"{name}.arch", space, settings).graph


@pytest.fixture(scope="module")
def hrnas() -> Graph:
    return system("hrnas/cityscapes", where="everywhere")


NATURES = {
    "blocks.residual": "convolution",
    "blocks.inverted_residual": "light convolution",
    "blocks.separable(kernel = 5)": "light convolution",
    "attention.self_attention": "attention of all pixels",
    "attention.pooled_attention": "light attention",
    "attention.window_attention(7)": "attention in windows",
    "attention.window_attention(7, 0)": "attention in stripes",
    "attention.axial_attention": "attention in stripes",
    "conv(1)": "1x1 or linear",
    "max_pool(3, stride = 1)": "pooling, resizing",
    "trionet.local_attention(stride = 1)": "attention in windows",
    "hyctas.light": "light convolution",
    "hyctas.mesa": "attention of all pixels",
    "hrnas.searching_block": "light convolution",
}


def test_the_kind_of_a_cell_follows_from_what_it_computes(tmp_path: Path) -> None:
    cells = ", ".join(name for name in NATURES if name != "max_pool(3, stride = 1)")
    modules = "".join(f"use std.{m}\n" for m in ("blocks", "attention", "fusion", "hrnas", "hyctas", "trionet"))
    text = (
        f"hrdsl 1\n\n{modules}\nspace all() {{\n  input = [16, 28, 28]\n  branch a at 1/1 {{ width = 16 }}\n"
        f"  stage s on a {{ cell in {{{cells}}} }}\n  head = concat\n}}\n"
    )
    (box,) = (b for b in outline(compiled(tmp_path, text)).boxes if b.role == "slot")
    expected = [kind for name, kind in NATURES.items() if not name.startswith("max_pool")]
    assert {o.name: o.nature for o in box.options} == dict(zip([o.name for o in box.options], expected, strict=True))


def test_every_searching_block_is_one_box(hrnas: Graph) -> None:
    """HR-NAS has 61 of them for segmentation, those between branches on the edges of its fusions."""
    blocks = {d.path.rpartition(".searching_block.")[0] for d in hrnas.decisions}
    picture = outline(hrnas)
    assert len(blocks) == 61 == sum(b.open for b in picture.boxes)
    edges = [b for b in picture.boxes if b.role == "edge"]
    assert Counter(b.stage for b in edges) == {"s1": 1, "s2": 4, "s3": 7, "s4": 10}
    assert {b.lane for b in edges if b.stage == "s2"} == {"b1", "b1 from b2", "b2 from b1", "b2"}
    assert all(k.target.endswith("fuse") for k in picture.links if " from " in k.source)


def test_pies_are_what_is_left_of_each_group(hrnas: Graph) -> None:
    block = "s3.b2[1].searching_block"
    left = {"[1].kernel_group.hidden": 36, "[2].kernel_group.hidden": 0, "lightweight_transformer.tokens": 16}
    chosen = {
        d.path: str(
            next((n for end, n in left.items() if d.path.endswith(end) and d.path.startswith(block)), d.values[-1])
        )
        for d in hrnas.decisions
    }
    picture = outline(hrnas, genes_of(hrnas, chosen))
    box = next(b for b in picture.boxes if b.key == "s3.b2[1]")
    assert {w.name: (w.kept, w.most) for w in box.pie} == {
        "3x3": (36, 144),
        "5x5": (0, 144),
        "7x7": (144, 144),
        "tokens": (16, 64),
    }
    assert sum(bool(b.pie) for b in picture.boxes) == 61
    text = dot(picture)
    assert 'style="wedged"' in text and ">39%<" in text
    assert all(word in text.splitlines()[1] for word in (">3x3<", ">5x5<", ">7x7<", ">tokens<", ">removed<"))


def test_sizes_that_follow_each_other_make_no_pie(tmp_path: Path) -> None:
    text = GATED.replace("inverted_residual(kernel in {3, 5})", "inverted_residual(expand in {2, 4})")
    graph = compiled(tmp_path, text)
    assert not any(b.pie for b in outline(graph, [0] * len(graph.decisions)).boxes)


def test_lanes_are_resolutions_with_a_row_for_each_route() -> None:
    """HyCTAS, Fig. 4: three routes that have no cell in common."""
    picture = outline(system("hyctas/figure4", "three"))
    lanes = [(t.title.replace(" ", "").split(","), t.place) for t in picture.lanes if t.title]
    assert [(sorted(names), place) for names, place in lanes] == [
        (["quarter"], "1/4"),
        (["eighth", "fused", "high"], "1/8"),
        (["middle"], "1/16"),
        (["low"], "1/32"),
    ]
    rows = Counter(b.lane for b in picture.boxes if b.role == "slot")
    assert sorted(rows.values()) == [1, 8, 9, 15, 15]
    assert picture.small
    columns = {(b.lane, int(re.findall(r"\[(\d+)\]", b.key)[0])): b.column for b in picture.boxes if b.role == "slot"}
    assert len({column for (_, layer), column in columns.items() if layer == 5}) == 1
    kinds = {o.name: o.nature for b in picture.boxes if b.role == "slot" for o in b.options}
    assert kinds == {"conv_bn_relu": "convolution", "light": "light convolution", "mesa": "attention of all pixels"}


def test_what_routes_share_is_drawn_once() -> None:
    """HyCTAS-L: 20 layers; two routes leave the first in the layer before they halve, behind 9 layers, and 5 and 11."""
    picture = outline(system("hyctas/l"), detail=True)
    rows = Counter(b.lane for b in picture.boxes if b.role == "slot")
    assert sorted(rows.values()) == sorted([20, 1, 20 - 9, 1, 11 - 5, 20 - 11])


def test_an_inner_choice_is_that_of_the_box() -> None:
    graph = system("trionet/space")
    slots = [b for b in outline(graph).boxes if b.role in ("slot", "enter")]
    assert len(slots) == 14
    assert all([o.name for o in b.options] == ["convolution", "local_attention", "axial_attention"] for b in slots)
    assert {b.cell for b in slots} == {"trio"}
    assert [o.nature for o in slots[0].options] == ["convolution", "attention in windows", "attention in stripes"]
    one = outline(graph, [len(d) - 1 for d in graph.decisions])
    assert all(len(b.options) == 1 for b in one.boxes)


def test_a_flow_that_only_gives_a_size_is_no_link() -> None:
    picture = outline(system("hyctas/s"))
    assert "input" not in {k.source for k in picture.links if k.target.startswith("heads")}


def test_large_pictures_are_colours_unless_asked_for_more(hrnas: Graph) -> None:
    picture, full = outline(hrnas), outline(hrnas, detail=True)
    assert picture.small and not full.small
    names = (text.count(">searching_block<") for text in (dot(picture), dot(full)))
    assert next(names) == 1 and next(names) > 50


def test_a_found_network_is_placed_in_its_space(tmp_path: Path) -> None:
    space = compile_file(TINY)
    genes = space.decisions.smallest()
    network = compiled(tmp_path, found_text(space, genes, []))
    assert placed(space.graph, network) == tuple(genes)
    assert placed(space.graph, compiled(tmp_path, PLAIN)) is None


def test_svg_is_made_small() -> None:
    text = b'<!-- a -->\n<path d="M10.00,10.00C10.00,10.00 20.04,10.00 20.04,10.00 20.04,0.1 10.00,-0.04 10,0 10,0 10.00,10.00 10.00,10.00"/>'
    assert lean(text) == b'<path d="M10,10L20,10A10,10 0 0 0 10,0Z"/>'
    assert lean(b'<title>a</title>\n<g id="a_x"><a xlink:title="b">') == b'<g id="a_x"><a xlink:title="b">'


def test_the_pictures_of_the_documentation_are_there_and_small() -> None:
    text = (ROOT / "docs" / "pictures.md").read_text()
    shown = re.findall(r"\((systems/\w+\.svg)\)", text)
    made = {f"systems/{p.name}" for p in (ROOT / "docs" / "systems").glob("*.svg")}
    assert set(shown) == made and len(shown) == len(made) == 8
    assert all((ROOT / "docs" / name).stat().st_size < 200_000 for name in shown)


def test_a_cell_that_only_chooses_where_weights_are_is_called_what_it_holds() -> None:
    text = PLAIN.replace("conv(1, width = 4)", "pick(last, wide)").replace(
        "  input", "  wide in {true, false}\n  input"
    )
    cells = "cell last() {\n  out = x -> relu -> conv(1, width = 4)\n}\n\ncell pick(body, wide) {\n  out = (if wide then x -> body else x -> body)\n}\n"
    graph = compile_module(load_source(Source("t.arch", text + "\n" + cells))).graph
    for genes in (None, (0,), (1,)):
        assert [o.name for b in outline(graph, genes).boxes if b.role == "head" for o in b.options] == ["last"]


def test_boxes_of_a_network_name_what_tells_them_apart() -> None:
    text = """hrdsl 1

space mixed() {
  input = [3, 32, 32]
  stem = conv(3, 8, stride = 2) -> relu
  branch a at 1/2 { width = 8 }
  stage s1 on a {
    cell = around(local)
    times = 4
    a[2].cell = around(wide)
  }
  head = conv(1, width = 4)
}

cell around(body) {
  inner = x -> bn -> body
  out = inner + x -> relu
}

cell local() {
  out = x -> conv(3, x.width) -> bn
}

cell wide() {
  out = attention(x, x, x) -> conv(1, x.width)
}
"""
    boxes = outline(compile_module(load_source(Source("t.arch", text))).graph).boxes
    shown = [(b.cell, b.options[0].name, b.options[0].times, b.options[0].nature) for b in boxes if b.role == "slot"]
    assert shown == [
        ("around", "local", 1, "convolution"),
        ("around", "wide", 1, "attention of all pixels"),
        ("around", "local", 2, "convolution"),
    ]
