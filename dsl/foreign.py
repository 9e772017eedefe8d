"""Words and marks that are taken over from other languages: where the parser stopped in, one diagnostic or nothing out.

Each rule looks at the place of the fault only; `faults` asks them before its own. Imports `errors`.
"""

from typing import TYPE_CHECKING

from . import errors
from .diagnostic import Diagnostic, Span

if TYPE_CHECKING:
    from .pieces import Piece
    from .place import Place

_CELL = "a cell is declared `cell name(parameters) { ... }`"
_ENTRY = "an entry is written `name = value`, without a word before it"
_USE = "modules are named `use std.blocks`"
_LOOP = "a list is built by `[value for name in list]`, cells in a row by `repeat(cell, times = n)`"
_OUT = "the result of a cell is its entry `out = ...`"
FIRST = {
    **dict.fromkeys(("def", "class", "fn", "func", "function"), _CELL),
    **dict.fromkeys(("let", "var", "val", "const", "int", "float"), _ENTRY),
    **dict.fromkeys(("import", "from", "include"), _USE),
    **dict.fromkeys(("for", "while"), _LOOP),
    **dict.fromkeys(("return", "yield"), _OUT),
    "assert": "a constraint is written `require condition`",
}
"""Words at the start of a line, and what to write instead."""
MARKS = {
    "=>": "write `->`",
    "<-": "write `=`",
    ":=": "an entry is written `name = value`",
    "**": "there are no powers: multiply",
    "++": "an entry is written once: `name = value`",
    **dict.fromkeys(("+=", "-=", "*=", "/="), "an entry is written once: give the new value another name"),
    "===": "write `==`",
    "/*": "comments run from `#` to the end of the line",
    "||": "write `or`",
}
"""Marks of two characters that stand side by side."""


def first_word(p: "Place") -> Diagnostic | None:
    """`def`, `return`, `import`, ... at the start of a line."""
    first, second = [*p.line, p.found, p.after][:2]
    if first.text not in FIRST or (second.text in ("=", "in", ".", "{") and first.text != "return"):
        return None
    return errors.foreign(first.text, p.span(first), FIRST[first.text])


def otherwise_if(p: "Place") -> Diagnostic | None:
    """`elif`, and the order of Python's conditional expression."""
    help = "write `if condition then value else value`; each `else` may go on with another `if`"
    if p.found.text in ("elif", "elseif", "elsif"):
        return errors.foreign(p.found.text, p.span(p.found), help)
    if p.found.text == "if" and p.line and "_NL" in p.accepts:
        return p.unexpected("the end of the line", help)
    return None


def mark(p: "Place") -> Diagnostic | None:
    """`=>`, `**`, `:=`, ..."""
    for one, two in ((p.before, p.found), (p.found, p.after)):
        text = one.text + two.text
        if one.stop == two.start and text in MARKS:
            return errors.foreign(text, _both(p, one, two), MARKS[text])
    return None


def comment(p: "Place") -> Diagnostic | None:
    """`// words` and `-- words`."""
    if p.line or p.found.text not in ("//", "-") or (p.found.text == "-" and p.after.text != "-"):
        return None
    text = "--" if p.found.text == "-" else "//"
    return errors.foreign(text, p.span(p.found), "comments run from `#` to the end of the line")


def _both(p: "Place", one: "Piece", two: "Piece") -> Span:
    return Span(p.source, one.start, two.stop)


RULES = (first_word, otherwise_if, mark, comment)
