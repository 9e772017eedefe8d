"""Every rule, word and operator of the grammar and every class of the syntax tree has a case in the golden corpus."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from hrdsl.dsl import syntax
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text
from hrdsl.dsl.parser import parse
from hrdsl.dsl.pieces import WORDS
from hrdsl.dsl.syntax import Syntax
from hrdsl.dsl.tables import GRAMMAR, load_grammar, make_tables, read_tables, tables
from hrdsl.dsl.tokens import Token, joined, tokens

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "golden" / "grammar"
CASES = sorted(FOLDER.glob("*.arch"))
Golden = Callable[[Path, str], None]


@cache
def corpus() -> tuple[Source, ...]:
    """Every text that parses: golden cases, examples, the library, the blocks of SPEC.md."""
    folders = ("tests/golden/grammar", "tests/golden/stages", "examples", "dsl/std")
    texts = [p.read_text(encoding="utf-8") for f in folders for p in sorted((ROOT / f).rglob("*.arch"))]
    spec = (ROOT / "SPEC.md").read_text(encoding="utf-8")
    texts += re.findall(r"^```arch\n(.*?)^```", spec, re.MULTILINE | re.DOTALL)
    texts += [f"hrdsl 1\n{cells}" for cells in re.findall(r"^```arch-cell\n(.*?)^```", spec, re.MULTILINE | re.DOTALL)]
    return tuple(Source("t.arch", text) for text in texts)


def stream(source: Source) -> Iterator[Token]:
    text = source.text + "\n"
    return joined(tokens(text, 0, len(text)))


def reduced(source: Source) -> set[int]:
    """The numbers of the rules by which a text is reduced, by the textbook."""
    table, states, used = tables(), [tables().starts["start"]], set()
    for token in stream(source):
        while (step := table.steps[states[-1]][token.kind]) < 0:
            rule = table.rules[~step]
            used.add(~step)
            states = states[: len(states) - rule.length]
            states.append(table.gotos[states[-1]][rule.origin])
        states.append(step)
    return used


def nodes(part: object) -> Iterator[Syntax]:
    if isinstance(part, tuple):
        for each in part:
            yield from nodes(each)
    elif isinstance(part, Syntax):
        yield part
        for f in fields(part):
            yield from nodes(getattr(part, f.name))


def show(part: object, indent: int = 0) -> Iterator[str]:
    """A tree as text: a node a line with its plain fields, what is within it below."""
    if isinstance(part, tuple):
        for each in part:
            yield from show(each, indent)
    elif isinstance(part, Syntax):
        values = {f.name: getattr(part, f.name) for f in fields(part) if f.compare}
        inner = {name: value for name, value in values.items() if any(True for _ in nodes(value))}
        plain = [f"{name}={value!r}" for name, value in values.items() if name not in inner and value not in ((), None)]
        yield " ".join([" " * indent + type(part).__name__, *plain])
        for name, value in inner.items():
            yield f"{' ' * indent}  {name}:"
            yield from show(value, indent + 4)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_tree(path: Path, golden: Golden) -> None:
    source = Source(path.name, path.read_text(encoding="utf-8"))
    golden(path.with_suffix(".tree"), "\n".join(show(parse(source))) + "\n")
    golden(path.with_suffix(".fmt"), format_text(source))


def test_every_rule_has_a_case() -> None:
    used = set().union(*map(reduced, corpus()))
    rules = load_grammar(GRAMMAR.read_text(encoding="utf-8")).rules
    assert [str(rule) for n, rule in enumerate(rules) if n not in used] == []


def test_every_terminal_has_a_case() -> None:
    used = {token.kind for source in corpus() for token in stream(source)}
    lark = load_grammar(GRAMMAR.read_text(encoding="utf-8"))
    assert [t.name for t in lark.terminals if t.name not in used and t.name not in lark.ignore_tokens] == []


def test_every_operator_and_word_has_a_case() -> None:
    used = {token.text for source in corpus() for token in stream(source)}
    marks = "<= >= == != < > + - -> .. * / // % = : , . ( ) [ ] { }".split()
    assert [text for text in (*marks, *sorted(WORDS)) if text not in used] == []


def test_every_class_of_the_tree_has_a_case() -> None:
    used = {type(node).__name__ for source in corpus() for node in nodes(parse(source))}
    classes = [c for c in vars(syntax).values() if isinstance(c, type) and issubclass(c, Syntax) and c is not Syntax]
    assert [c.__name__ for c in classes if c.__name__ not in used] == []


def test_words_are_those_of_the_grammar() -> None:
    goals = {"maximize", "minimize"}
    assert set(tables().words) | goals == WORDS


def test_tables_survive_their_file() -> None:
    made = make_tables(GRAMMAR.read_text(encoding="utf-8"))
    assert read_tables(json.dumps(made)) == made
