"""`hrdsl explain` for the language: every word, entry and function has a page, every page an example that compiles."""

import json
import re
from pathlib import Path

import pytest

from hrdsl.cli.check import check
from hrdsl.cli.codes import CODES, Code
from hrdsl.cli.common import UsageError
from hrdsl.cli.constructs import CONSTRUCTS, USES, Construct, Use
from hrdsl.cli.explain import explain
from hrdsl.cli.main import main
from hrdsl.compiler.functions import FUNCTIONS
from hrdsl.compiler.ops import operators
from hrdsl.dsl.diagnostic import Source, render
from hrdsl.dsl.format import format_text
from hrdsl.dsl.model import COSTS, METRICS, ROUTES_ENTRIES, SPACE_BLOCKS, SPACE_ENTRIES, STAGE_ENTRIES, TIMES
from hrdsl.dsl.pieces import WORDS

from .test_diagnostics import framed
from .test_docs import SPEC, compiled, whole

NUMBERED = re.split(r"^## (\d+)\. ", SPEC, flags=re.MULTILINE)[1:]
SECTIONS = dict(zip(map(int, NUMBERED[::2]), NUMBERED[1::2], strict=True))
PAGES: dict[str, Construct | Use] = {**CONSTRUCTS, **{f"{name}()": use for name, use in USES.items()}}


def example(page: Construct | Use) -> str:
    """The example of a page as a whole file."""
    if page.place == "cells":
        return whole("arch-cell", page.example.removeprefix("hrdsl 1\n\n"))
    return framed(Code("", "", page.place, page.example, page.example), page.example)


@pytest.mark.parametrize("name", PAGES)
def test_examples(name: str, tmp_path: Path) -> None:
    path = tmp_path / "example.arch"
    text = example(PAGES[name])
    path.write_text(text if text.startswith("hrdsl 1") else f"hrdsl 1\n\n{text}", encoding="utf-8")
    found = check(path, None, {})[1]
    assert [render(d) for d in found if "nothing uses the module" not in d.title] == []  # modules of the frame


@pytest.mark.parametrize("name", PAGES)
def test_examples_are_canonical(name: str) -> None:
    text = example(PAGES[name])
    lines = {line.strip() for line in format_text(Source("example.arch", text)).splitlines()}
    assert [line for line in PAGES[name].example.splitlines() if line.strip() not in lines] == []


def test_one_page_for_each_word_of_the_language() -> None:
    """Reserved words, kinds of blocks, entries, costs and metrics; no word leads to two constructs."""
    known = [word for name, construct in CONSTRUCTS.items() for word in (name, *construct.also)]
    entries = {*SPACE_BLOCKS, *SPACE_ENTRIES, *STAGE_ENTRIES, *ROUTES_ENTRIES, "space", "train", "search", "out", "x"}
    assert len(known) == len(set(known))
    assert {*WORDS, *entries, *COSTS, *TIMES, *METRICS} <= set(known)
    assert not set(known) & set(FUNCTIONS)


def test_marks() -> None:
    """Every mark of the grammar that is an operator has a page."""
    grammar = SPEC.partition("```ebnf")[2].partition("```")[0]
    expressions = grammar.partition("chain      =")[2].partition("postfix")[0]
    marks = set(re.findall(r'"([^"\w]+)"', expressions))
    assert "->" in marks and "//" in marks
    assert all(explain(mark)[0]["kind"] == "construct" for mark in marks)


@pytest.mark.parametrize("name", [*CONSTRUCTS, *FUNCTIONS])
def test_pages(name: str) -> None:
    answer = explain(name)[0]
    title, *paragraphs = answer["text"].split("\n\n")
    assert title == f"{answer['kind']} {name}: {answer['title']}"
    assert len(title) <= 100 and not answer["title"].endswith(".")
    meaning = next(p for p in paragraphs if p.split() == answer["meaning"].split())
    assert 2 <= meaning.count("\n") + 1 <= 6
    assert all(line in answer["text"] for line in answer["usage"].splitlines())
    assert f"SPEC.md, section {answer['section']}" in answer["text"]


@pytest.mark.parametrize("name", [*CONSTRUCTS, *FUNCTIONS])
def test_sections(name: str) -> None:
    """The section exists and speaks of the construct, and the example shows it."""
    answer = explain(name)[0]
    section = SECTIONS[answer["section"]]
    words = [name, *answer.get("also", ())]
    assert any(re.search(rf"(?<!\w){re.escape(word)}", section, re.IGNORECASE) for word in words)
    if name in {*WORDS, *SPACE_BLOCKS, *SPACE_ENTRIES, *STAGE_ENTRIES, *ROUTES_ENTRIES, *FUNCTIONS}:
        assert re.search(rf"\b{name}\b", answer["usage"]) or name == "fuse"


def test_functions_are_those_of_the_specification() -> None:
    """The table of section 6: names, argument lists and order."""
    table = SECTIONS[6].partition("**Functions.**")[2].partition("**Calls.**")[0]
    calls = [call for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for call in re.findall(r"`(.+?)`", row)]
    assert calls == [call for function in FUNCTIONS.values() for call in function.calls]
    assert all(call.startswith(f"{f.name}(") for f in FUNCTIONS.values() for call in f.calls)
    assert list(USES) == list(FUNCTIONS)


def test_an_architecture_is_counted_once() -> None:
    """The number in the comment of the example."""
    comment = CONSTRUCTS["architecture"].example.partition("# ")[2]
    wanted = sum(map(int, re.findall(r"\d+", comment)))
    assert compiled(example(CONSTRUCTS["architecture"])).decisions.count().value == wanted == 21


def test_names_that_are_several_things() -> None:
    assert [a["kind"] for a in explain("sum")] == ["function", "operator"]
    assert [(a["kind"], a["name"]) for a in explain("down")] == [("construct", "routes"), ("cell", "std.fusion.down")]
    assert [a["kind"] for a in explain("search")] == ["block"]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("requir", "require"),
        ("disjont", "disjoint"),
        ("routs", "routes"),
        ("overide", "override"),
        ("std.block", "std.blocks"),
    ],
)
def test_did_you_mean(wrong: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean `{meant}`"):
        explain(wrong)


def test_all_groups_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    listed = {"constructs": CONSTRUCTS, "functions": FUNCTIONS, "operators": sorted(operators()), "codes": CODES}
    assert all(data[group] == list(names) for group, names in listed.items())
    heads = [line for line in data["text"].splitlines() if line and not line.startswith(" ")]
    assert heads == ["language", "functions", "library", "operators", "settings", "conventions", "codes"]
    assert all(title in data["text"] for title in (c.title for c in CONSTRUCTS.values()))


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "subsets", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["kind"], data["calls"], data["section"]) == ("function", ["subsets(list, n)"], 6)
    assert set(data) == {"kind", "name", "calls", "title", "meaning", "usage", "section", "text"}
