"""The formatter says the same: equal trees, equal comments, and its own output is left alone."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.faults import scan
from hrdsl.dsl.format import WIDTH, format_text
from hrdsl.dsl.parser import parse

ROOT = Path(__file__).resolve().parent.parent
FILES = [p for layer in ("dsl", "examples", "tests") for p in sorted((ROOT / layer).rglob("*.arch"))]


def source(text: str) -> Source:
    return Source("t.arch", text)


def comments(text: str) -> Counter[str]:
    return Counter(p.text.rstrip() for p in scan(text) if p.kind == "comment" and not p.text.startswith("##"))


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


# generated texts ---------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "x", "width", "steps", "blocks", "a_rather_long_name_for_a_value_of_a_cell"])
numbers = st.sampled_from(["0", "3", "0.5", "1e-4", "600M", "12ms", "4Ki", "1_000"])
atoms = names | numbers | st.sampled_from(["true", "false", "none", '"text"', '"# no comment"', "1/2", "-1", "[]"])
gaps = st.sampled_from([" ", " ", " ", "  ", "\t"])
inner = gaps | st.sampled_from(["\n", "\n\n  ", " # c\n", "\n# own\n", "\n\n# far\n  # next\n", " #x\n #y\n"])
ends = st.sampled_from(["\n", "\n", "\n\n", "\n\n\n", "  # end\n", "\n# own\n", "\n\n# own\n\n", "\r\n"])
docs = st.sampled_from(["", "", "", "## docs\n", "##docs\n\n# c\n## more\n", "\n##\n"])


@st.composite
def joined(draw: st.DrawFn, parts: st.SearchStrategy[str], low: int = 0, high: int = 4) -> str:
    """Parts with commas, on one line or on many."""
    items = draw(st.lists(parts, min_size=low, max_size=high))
    end = "," if items and draw(st.booleans()) else ""
    return ",".join(draw(inner) + item + draw(inner) for item in items) + end + draw(inner)


@st.composite
def grouped(draw: st.DrawFn, parts: st.SearchStrategy[str]) -> str:
    return f"({draw(inner)}{draw(parts)}{draw(inner)})"


@st.composite
def compound(draw: st.DrawFn, parts: st.SearchStrategy[str]) -> str:
    """One expression over smaller ones; every operand stands in parentheses or is one that may follow a bracket."""
    operand = grouped(parts) | atoms
    one, two, three = draw(operand), draw(operand), draw(operand)
    gap, name = draw(gaps), draw(names)
    sign = draw(st.sampled_from(["+", "-", "*", "/", "//", "%", "and", "or", "->", "->\n", "# c\n  ->"]))
    compare = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
    condition = draw(st.sampled_from(["", f" if {two}"]))
    return draw(
        st.sampled_from(
            [
                f"{one} {sign}{gap}{two} {sign} {three}",
                f"{one} {sign} {two} - {three}",
                f"{one}{gap}{compare}{gap}{two}",
                f"not{gap}{one}",
                f"-{one}",
                f"if {one} then {two} else {three}",
                f"if {one} then {two} else if {three} then {one} else {two}",
                f"({one}).{name}",
                f"({one})[{two}]",
                f"{name}({draw(joined(operand))})",
                f"({one})({draw(joined(arguments(operand), 1))})",
                f"[{draw(joined(operand))}]",
                f"[{gap}{one} for {name} in {two}{condition}]",
            ]
        )
    )


@st.composite
def domains(draw: st.DrawFn, parts: st.SearchStrategy[str]) -> str:
    operand = grouped(parts) | atoms
    if draw(st.booleans()):
        return f"{{{draw(joined(operand, 1))}}}"
    return f"{draw(operand)}..{draw(operand)}" + draw(st.sampled_from(["", " step 8", " step 2*x"]))


@st.composite
def arguments(draw: st.DrawFn, parts: st.SearchStrategy[str]) -> str:
    name = draw(names)
    if draw(st.booleans()):
        return f"{name}{draw(gaps)}={draw(gaps)}{draw(parts)}"
    return f"{name} in {draw(domains(parts))}{draw(st.sampled_from(['', ' per cell']))}"


expressions = st.recursive(atoms, lambda parts: compound(parts), max_leaves=8)


@st.composite
def entries(draw: st.DrawFn) -> str:
    value = draw(expressions | grouped(expressions))
    target = draw(names) + draw(st.sampled_from(["", ".kernel", "[1].kernel"]))
    domain = draw(domains(expressions))
    return draw(
        st.sampled_from(
            [
                f"{target} = {value}",
                f"{target} in {domain} per stage",
                f"{target} in {domain}",
                f"require {value}",
                f"maximize {value}",
            ]
        )
    )


@st.composite
def blocks(draw: st.DrawFn, lines: st.SearchStrategy[str]) -> str:
    clauses = draw(st.lists(st.sampled_from([" on a", " on a, b", " at 1/2", " at (x\n)", " for t"]), max_size=2))
    parameters = st.just("") | joined(names | st.builds("{} = {}".format, names, atoms)).map("({})".format)
    head = f"{draw(names)} {draw(names)}{draw(parameters)}{''.join(clauses)} {{"
    if draw(st.booleans()):
        return f"{head} {draw(entries())} }}"
    many = draw(st.lists(st.tuples(docs, lines, ends), max_size=4))
    start = draw(st.sampled_from(["\n", " # head\n", "\n\n"])) if many else draw(inner)
    return f"{head}{start}{''.join(map(''.join, many))}}}"


items = st.recursive(entries(), lambda lines: blocks(entries() | lines), max_leaves=4)
tops = st.tuples(docs, blocks(items)).map("".join) | st.sampled_from(["use std.blocks", "use  a as b"])


@st.composite
def files(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.tuples(tops, ends).map("".join), max_size=3))
    start = draw(st.sampled_from(["", "# licence\n", "\n\n# licence\n\n"]))
    return f"{start}hrdsl 1{draw(ends)}{''.join(parts)}"


@given(files())
def test_generated_texts(text: str) -> None:
    check(text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files(path: Path) -> None:
    text = path.read_bytes().decode()
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
