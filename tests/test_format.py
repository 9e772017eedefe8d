"""The formatter says the same: equal trees, equal comments, and its own output is left alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.format import WIDTH, format_text
from hrdsl.dsl.parser import parse
from hrdsl.dsl.pieces import scan

from .layouts import plain, printed, program
from .test_docs import FENCE, PAGES, whole

ROOT = Path(__file__).resolve().parent.parent
FILES = [p for layer in ("dsl", "examples", "tests") for p in sorted((ROOT / layer).rglob("*.arch"))]


def source(text: str) -> Source:
    return Source("t.arch", text)


def comments(text: str) -> list[str]:
    return [p.text.rstrip() for p in scan(text) if p.kind == "comment" and not p.text.startswith("##")]


def check(text: str) -> str:
    """Format a text and assert what must hold for every text."""
    done = format_text(source(text))
    assert parse(source(done)) == parse(source(text))
    assert comments(done) == comments(text)
    assert format_text(source(done)) == done
    assert done.endswith("\n") and not done.endswith("\n\n") and "\n\n\n" not in done and "\r" not in done
    assert all(line == line.rstrip() for line in done.split("\n"))
    return done


def entry(text: str) -> str:
    """One formatted entry of a cell."""
    lines = check(f"hrdsl 1\n\ncell c {{\n{text}\n\n}}\n").splitlines()
    return "\n".join(line.removeprefix("  ") for line in lines[3:-1])


# generated programs ------------------------------------------------------------------------------------------------

UNBREAKABLE = re.compile(r"\{$|^use ")
"""Heads of blocks and `use` lines end with their line."""
JOINT = re.compile(r", | -> | and | or | then | else | [-+*/%] ")
"""Where a line within brackets can be broken."""


@settings(max_examples=2_000)
@given(size=st.integers(1, 3), seed=st.integers(0, 2**32))
def test_generated_programs(size: int, seed: int) -> None:
    """A derivation of the grammar in a random layout: the tree of the plain layout, each comment in its order."""
    drawn = program(seed, size)
    text = printed(drawn, seed)
    assert parse(source(text)) == parse(source(plain(drawn)))
    done = check(text)
    for line in done.split("\n"):
        code = line.split("  # ")[0]
        assert (
            len(code) <= WIDTH or UNBREAKABLE.search(code) or not JOINT.search(code.strip(" ,").removeprefix("-> "))
        ), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files(path: Path) -> None:
    text = path.read_bytes().decode()
    try:
        parse(source(text))
    except ArchError:
        return
    check(text)


def code_blocks() -> list[object]:
    found = [(page, match) for page in PAGES for match in FENCE.finditer(page.read_text(encoding="utf-8"))]
    return [pytest.param(whole(m[1], m[3]), id=f"{page.relative_to(ROOT)}:{m.start()}") for page, m in found]


@pytest.mark.parametrize("text", code_blocks())
def test_code_blocks(text: str) -> None:
    """Those that parse."""
    try:
        parse(source(text))
    except ArchError:
        return
    check(text)


# the form ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x=3 / 2*y", "x = 3/2 * y"),
        ("x = -1 / 2", "x = -1/2"),
        ("x = a/2", "x = a / 2"),
        ("x = ((a*b)+c)", "x = a * b + c"),
        ("x = (a+b)*c", "x = (a + b) * c"),
        ("x = a-(b-c)", "x = a - (b - c)"),
        ("x = (if a then b else c) + 1", "x = (if a then b else c) + 1"),
        ("x = f -> (if a then b else c)", "x = f -> (if a then b else c)"),
        ("x = (f -> g)(y)", "x = (f -> g)(y)"),
        ("x = not (a and b) or (not c)", "x = not (a and b) or not c"),
        ("x in 1 .. 3", "x in 1..3"),
        ("x in 32..128   step 32", "x in 32..128 step 32"),
        ("x in 0..2*n", "x in 0 .. 2 * n"),
        ("x in { 1,2, }  per cell", "x in {1, 2} per cell"),
        ("x = [3,64 ,64]", "x = [3, 64, 64]"),
        ("x = f( 1,a=2,b in {3} )", "x = f(1, a = 2, b in {3})"),
        ("branch fine at 1/2 { width = 16 }", "branch fine at 1/2 { width = 16 }"),
        ("branch fine at 1/2 {\nwidth = 16\n}", "branch fine at 1/2 {\n  width = 16\n}"),
        ("x = 1#c", "x = 1  #c"),
        ("x = 1\n\n\n\ny = 2", "x = 1\n\ny = 2"),
        ("\n\nx = 1", "x = 1"),
        ("## d\n# c\nx = 1", "# c\n## d\nx = 1"),
        ("x in { # a\n1, # b\n# c\n2\n# d\n}", "x in {  # a\n  1,  # b\n  # c\n  2,\n  # d\n}"),
    ],
)
def test_form(text: str, wanted: str) -> None:
    assert entry(text) == wanted


def test_long_call() -> None:
    name = "a_rather_long_argument"
    text = entry(f"x = f({name} = 1, {name}_b in {{1, 2}}, {name}_c = [1, 2, 3], {name}_d = 4)")
    rows = (f"{name} = 1", f"{name}_b in {{1, 2}}", f"{name}_c = [1, 2, 3]", f"{name}_d = 4")
    assert text == "x = f(\n" + "".join(f"  {row},\n" for row in rows) + ")"


def test_long_chain() -> None:
    links = [f"a_rather_long_link_{i}" for i in range(6)]
    assert entry(f"x = {' -> '.join(links)}") == "x = " + "\n    -> ".join(links)


def test_width() -> None:
    for n in range(WIDTH - 20, WIDTH + 5):
        lines = check(f"hrdsl 1\ncell c {{\n  {'x' * (n // 2)} = f({'y' * (n - n // 2)})\n}}\n").splitlines()
        assert all(len(line) <= WIDTH for line in lines)


def test_items_stand_apart() -> None:
    text = "hrdsl 1\nuse a\nuse b\ncell c { x = 1 }\n# about d\ncell d {}\n"
    assert check(text) == "hrdsl 1\n\nuse a\nuse b\n\ncell c { x = 1 }\n\n# about d\ncell d {}\n"
