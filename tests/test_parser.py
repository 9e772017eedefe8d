"""Texts in, trees or diagnostics out. Every golden/syntax/*.arch is a faulty text beside what is said about it."""

import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdsl.dsl.diagnostic import ArchError, Source, render
from hrdsl.dsl.parser import MOST_OF_ITEM, parse
from hrdsl.dsl.syntax import Binary, Block, Chain, Fix, Name, Number, Require, Unary, Vary

FOLDER = Path(__file__).parent / "golden" / "syntax"
FAULTY = sorted(FOLDER.glob("*.arch"))
ROOT = Path(__file__).resolve().parent.parent


def entries(body: str) -> Block:
    (block,) = parse(Source("t.arch", f"hrdsl 1\nspace s {{\n{body}\n}}\n")).items
    assert isinstance(block, Block)
    return block


def value(text: str) -> object:
    (line,) = entries(f"x = {text}").lines
    assert isinstance(line, Fix)
    return line.value


def faults(text: str) -> ArchError:
    with pytest.raises(ArchError) as caught:
        parse(Source("t.arch", text))
    return caught.value


@pytest.mark.parametrize("path", FAULTY, ids=lambda path: path.stem)
def test_what_is_said(path: Path, golden: Callable[[Path, str], None]) -> None:
    text = path.read_bytes().decode()
    with pytest.raises(ArchError) as caught:
        parse(Source(path.name, text))
    assert all(d.help for d in caught.value.found)
    golden(path.with_suffix(".err"), "\n\n".join(render(d) for d in caught.value.found) + "\n")


def test_every_code_has_a_case() -> None:
    said = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.err"))
    assert [n for n in range(101, 113) if f"error[E{n}]" not in said] == []


def test_operators_bind() -> None:
    tree = value("not a == b + c * -d")
    assert isinstance(tree, Unary) and tree.operator == "not"
    compare = tree.operand
    assert isinstance(compare, Binary) and compare.operator == "=="
    assert isinstance(compare.right, Binary) and compare.right.operator == "+"
    assert value("a - b - c") == value("(a - b) - c") != value("a - (b - c)")
    assert value("a or b and not c") == value("a or (b and (not c))")
    assert value("3/2 * x") == value("(3 / 2) * x")
    assert value("if a then b else c -> d") == value("if a then b else (c -> d)")


def test_negation_is_kept() -> None:
    (line,) = entries("require not a").lines
    assert isinstance(line, Require) and isinstance(line.condition, Unary)


def test_newlines() -> None:
    flat = value("f(1, [2, 3], w in {4, 5}) -> g")
    assert value("f(\n1,\n[2,\n3],\nw in {\n4,\n5,\n},\n)\n# comment\n-> g") == flat
    assert isinstance(flat, Chain)


def test_documentation_belongs_to_what_follows() -> None:
    block = entries("## one\n\n# no documentation\n## two\nwidth in 1..3 per stage")
    (line,) = block.lines
    assert isinstance(line, Vary) and line.docs == ("one", "two") and line.per == "stage"


@pytest.mark.parametrize(
    ("text", "wanted", "unit"),
    [
        ("3", 3, ""),
        ("0.5", Fraction(1, 2), ""),
        ("1e-4", Fraction(1, 10000), ""),
        ("600M", 600_000_000, ""),
        ("1_000", 1000, ""),
        ("4Ki", 4096, "bytes"),
        ("12ms", 12, "ms"),
        ("5us", Fraction(1, 200), "ms"),
    ],
)
def test_numbers(text: str, wanted: Fraction, unit: str) -> None:
    number = value(text)
    assert isinstance(number, Number) and (number.value, number.unit) == (wanted, unit)


@pytest.mark.parametrize("text", ["3Q", "3mS", "3_M", "0x10", "1e", "1e-4x", "1e99999", "9" * 50, "٣"])
def test_no_numbers(text: str) -> None:
    assert faults(f"hrdsl 1\nspace s {{\n  x = {text}\n}}\n").found[0].code in ("E103", "E106", "E107")


def test_words_may_begin_a_name() -> None:
    names = ["information", "forest", "steps", "android", "nothing", "iffy", "user", "Width", "maximizer"]
    assert [value(name) for name in names] == [value(f"({name})") for name in names]
    assert all(isinstance(value(name), Name) for name in names)


HEAD = "hrdsl 1\ncell c {\n  x = "


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "(" * 100_000,
        HEAD + "[" * 50_000 + "]" * 50_000 + "\n}\n",
        "hrdsl 1\n" + "a {\n" * 61 + "}\n" * 61,
        HEAD + "- " * 10_000 + "1\n}\n",
        HEAD + "not " * 10_000 + "a\n}\n",
        HEAD + "if a then b else " * 5_000 + "c\n}\n",
        HEAD + " + ".join("a" * 10_000) + "\n}\n",
        HEAD + "a" + ".b" * 10_000 + "\n}\n",
        HEAD + "a" + "()" * 10_000 + "\n}\n",
    ],
    ids=["parens", "lists", "blocks", "minus", "not", "if", "sum", "attributes", "calls"],
)
def test_depth_is_refused(text: str) -> None:
    parse(Source("t.arch", HEAD + "1\n}\n"))
    before = time.process_time()
    assert [d.code for d in faults(text).found] == ["E109"]
    assert time.process_time() - before < 5


def test_allowed_depth_parses() -> None:
    parse(Source("t.arch", HEAD + "f(a = (1 + " * 28 + "1" + "))" * 28 + "\n}\n"))
    parse(Source("t.arch", HEAD + " + ".join("a" * 100) + "\n}\n"))
    parse(Source("t.arch", HEAD + " -> ".join("a" * 5_000) + "\n}\n"))


def test_long_files_are_refused() -> None:
    assert [d.code for d in faults(HEAD + "1\n}\n#" + "a" * 1_000_000).found] == ["E113"]


@pytest.mark.parametrize("char", ["\0", "\ufeff", "\u202e", "\u2066", "\x1b", "\u2028", "\ud800"])
def test_hidden_characters_are_refused(char: str) -> None:
    (found,) = faults(f"hrdsl 1\n# {char}\n").found
    assert (found.code, found.here.span.start) == ("E108", 10)


def test_windows_lines() -> None:
    text = "hrdsl 1\n\n## docs\nspace s {\n  # c\n  x = f(\n    1,\n  )\n    -> g\n}\n"
    assert parse(Source("t", text)) == parse(Source("t", text.replace("\n", "\r\n")))


def test_faults_are_capped() -> None:
    assert len(faults("hrdsl 1\n" + "cell c { x = }\n" * 1000).found) == 50


GOOD = [
    "a = 1",
    "b in {1, 2}",
    "stage s on f {\n  cell = c\n}",
    "c = x\n  -> f(\n    1)",
    "## docs\nd = 2",
    "prior b {1: 2}",
]
BAD = [
    "a = = 1",
    "b 3",
    "stage s of f {\n  cell = c\n}",
    "c = x ->\n  f(1 2)",
    "## docs\nd = 2;",
    "return 3",
    "b = {1}",
]


@given(st.lists(st.sampled_from([*GOOD, *BAD]), max_size=14))
def test_every_faulty_entry_is_reported_once(lines: list[str]) -> None:
    text = "hrdsl 1\nspace s {\n" + "\n".join(lines) + "\n}\n"
    firsts = [2 + sum(line.count("\n") + 1 for line in lines[: i + 1]) for i in range(len(lines))]
    wanted = [last for last, line in zip(firsts, lines, strict=True) if line in BAD][:MOST_OF_ITEM]
    found = faults(text).found if wanted else ()
    source = Source("t.arch", text)
    rows = [source.place(d.here.span.start)[0] for d in found]
    starts = {last: last - line.count("\n") for last, line in zip(firsts, lines, strict=True)}
    assert len(rows) == len(wanted)
    assert all(starts[last] <= row <= last for last, row in zip(wanted, rows, strict=True))


def test_reading_again_is_bounded() -> None:
    text = "hrdsl 1\nspace s {\n" + "a = 1\n" * 8_000 + "a = = 1\n" * 20 + "}\n"
    assert len(faults(text).found) == 1
    before = time.process_time()
    assert len(faults(text.replace("a = 1\n", "", 7_000)).found) == 5
    assert time.process_time() - before < 2


WORDS = """hrdsl 1 use as on at for in per require step if then else or and not true none maximize x width
    = == < { } ( ) [ ] , . .. -> + - * / "s" ' ; : # ## 3 1e-4 600Q \n""".split(" ")


@given(st.lists(st.sampled_from([*WORDS, "\n", "\n", "cell", "c", "{\n", "\n}\n"]), max_size=40).map(" ".join))
def test_any_text_is_answered(text: str) -> None:
    for whole in (text, f"hrdsl 1\n{text}", f"hrdsl 1\nspace s {{\n{text}\n}}\n"):
        try:
            parse(Source("t.arch", whole))
        except ArchError as error:
            assert error.found
            for d in error.found:
                assert d.help and render(d)
                assert 0 <= d.here.span.start <= d.here.span.stop <= len(whole) + 1


@given(st.text(max_size=60))
def test_any_characters_are_answered(text: str) -> None:
    try:
        parse(Source("t.arch", f"hrdsl 1\n{text}"))
    except ArchError as error:
        assert all(d.help and render(d) for d in error.found)


def test_parsing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hrdsl.dsl.diagnostic import Source; from hrdsl.dsl.format import format_text;"
        "format_text(Source('t', 'hrdsl 1\\n'));"
        "print(*sorted({'torch', 'networkx', 'numpy', 'pymoo'} & set(sys.modules)))"
    )
    start = f"import sys; sys.path.insert(0, {str(ROOT / '.path')!r});"
    run = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
