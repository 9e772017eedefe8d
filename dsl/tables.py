"""Parse tables: `grammar.lark` in, plain data out.

Lark makes them, once for each grammar; they are kept on disk as JSON, so a run that finds them never imports lark.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lark import Lark
    from lark.grammar import Rule as LarkRule

GRAMMAR = Path(__file__).with_name("grammar.lark")
STARTS = ("start", "items")
END = "$END"
OUTSIDE = ("docs", "REQUIRE", "PRIOR")
"""What the span of a rule leaves out where it begins with it."""


class Rule(NamedTuple):
    """One alternative of a rule. `action` is empty if the children are handed on as they are."""

    origin: str
    length: int
    action: str
    picks: list[int | None]
    """The children: a symbol's position, `~position` for a list that is spread, None for an optional part that is absent."""
    lead: int
    """How many symbols stand before its span."""
    unit: bool
    """Does it hand on its only symbol?"""


class Tables(NamedTuple):
    """A lexer as one pattern, and the automaton: a step >= 0 shifts to that state, a step < 0 reduces by rule `~step`."""

    pattern: str
    words: dict[str, str]
    ignored: list[str]
    steps: list[dict[str, int]]
    gotos: list[dict[str, int]]
    rules: list[Rule]
    starts: dict[str, int]


@cache
def tables() -> Tables:
    """The tables of the grammar, from disk if they are there."""
    grammar = GRAMMAR.read_bytes()
    path = _kept(grammar + Path(__file__).read_bytes())
    if path is not None:
        with suppress(OSError, ValueError, TypeError):
            return read_tables(path.read_text(encoding="utf-8"))
    made = make_tables(grammar.decode())
    if path is not None:
        with suppress(OSError):
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(made), encoding="utf-8")
            part.replace(path)
    return made


def read_tables(text: str) -> Tables:
    """Tables from their JSON."""
    found = Tables(*json.loads(text))
    return found._replace(rules=[Rule(*row) for row in found.rules])


def _kept(key: bytes) -> Path | None:
    """Where the tables are kept: per user, named by what they are made from; nowhere if the folder is not the user's own."""
    folder = Path(tempfile.gettempdir()) / f"hrdsl-{os.getuid() if hasattr(os, 'getuid') else 'tables'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.stat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (owner.st_uid != os.getuid() or owner.st_mode & 0o022):
        return None
    return folder / f"tables-{hashlib.sha256(key).hexdigest()[:16]}.json"


# from lark ---------------------------------------------------------------------------------------------------------


def load_grammar(grammar: str) -> "Lark":
    """The grammar as lark reads it."""
    from lark import Lark

    return Lark(grammar, start=list(STARTS), parser="lalr", lexer="basic", maybe_placeholders=True)


def make_tables(grammar: str) -> Tables:
    """Lark's LALR(1) tables as plain data."""
    lark = load_grammar(grammar)
    found: Any = lark.parser.parser
    automaton = found._parse_table
    number = {rule: n for n, rule in enumerate(lark.rules)}
    steps, gotos = [], []
    for state in range(len(automaton.states)):
        row = {
            name: to if str(action) == "Shift" else ~number[to]
            for name, (action, to) in automaton.states[state].items()
        }
        steps.append({name: step for name, step in row.items() if name.isupper()})
        gotos.append({name: step for name, step in row.items() if not name.isupper()})
    for state in automaton.end_states.values():
        steps[state][END] = state
    return Tables(*_lexer(lark), steps, gotos, [_rule(rule) for rule in lark.rules], automaton.start_states)


def _lexer(lark: "Lark") -> tuple[str, dict[str, str], list[str]]:
    """The pattern of all terminals, the longest first; words are names to it."""
    order = sorted(lark.terminals, key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name))
    words = {t.pattern.value: t.name for t in order if t.pattern.type == "str" and t.pattern.value.isalpha()}
    pattern = "|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in order if t.name not in words.values())
    return pattern, words, list(lark.ignore_tokens)


def _rule(rule: "LarkRule") -> Rule:
    names = [symbol.name for symbol in rule.expansion]
    origin, picks = str(rule.origin.name), list(_picks(rule))
    unit = rule.options.expand1 and not rule.alias and len(picks) == len(names) == 1
    action = "" if unit or origin.startswith("_") else rule.alias or origin
    lead = next((n for n, name in enumerate(names) if name not in OUTSIDE), 0)
    return Rule(origin, len(names), action, picks, lead, unit)


def _picks(rule: "LarkRule") -> Iterator[int | None]:
    """Which symbols a rule keeps, with lark's marks for absent optional parts between them."""
    absent = rule.options.empty_indices or (False,) * len(rule.expansion)
    symbols = iter(enumerate(rule.expansion))
    for missing in absent:
        if missing:
            yield None
            continue
        at, symbol = next(symbols)
        if not getattr(symbol, "filter_out", False):
            yield ~at if symbol.name.startswith("_") else at
