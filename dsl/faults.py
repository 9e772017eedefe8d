"""Syntax faults in the user's words: what stands there, what was expected, what to do.

Text and the parser's fault in, diagnostics out. Imports `place`, `foreign` and `errors`.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches

from . import errors, foreign
from .diagnostic import Diagnostic, Source, Span
from .numbers import SCALES
from .pieces import WORDS, is_comment, scan
from .place import BOUNDARIES, OPENS, Place, target_of, wanted_at
from .tables import END
from .tokens import FOREIGN, Unexpected

_QUOTES = "'`\u2018\u2019\u201c\u201d\u201e"
_FOREIGN = {
    ";": "an entry ends with its line: remove the `;`",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    "^": "there are no powers: multiply",
    "?": "write `if condition then value else value`",
    "\\": "lines inside brackets go on by themselves: put the value in `( )`",
    "\r": "end lines with a newline",
    "\xa0": "replace it by a plain space",
    **dict.fromkeys(_QUOTES, 'strings stand in plain double quotes: `"text"`'),
    **dict.fromkeys("\u00d7\u00b7\u2217", "write `*`"),
    **dict.fromkeys("\u2013\u2014\u2212", "write `-`"),
    "÷": "write `/`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "→": "write `->`",
    "…": "write `..`",
    "∈": "write `in`",
}
_CLAUSES = {"branch": "at", "stage": "on", "train": "for", "search": "for"}
_COMPARES = ("<", ">", "<=", ">=", "==", "!=")
_SHAPES = "an entry is `name = value` or `name in domain`, a block is `kind name { ... }`"


def explain_fault(source: Source, text: str, fault: Unexpected, start: int, stop: int) -> Diagnostic:
    """One diagnostic for the parser's fault in the item that stands from `start` to `stop` of what was read."""
    at = stop if fault.token.kind == END else fault.token.start
    if fault.token.kind == FOREIGN:
        return _foreign(source, at)
    pieces = [p for p in scan(text, start, stop) if not is_comment(p)]
    here = next((i for i, p in enumerate(pieces) if p.start >= at), len(pieces))
    place = Place(source, pieces, here, fault.accepts)
    return next(found for rule in RULES if (found := rule(place)))


def _foreign(source: Source, at: int) -> Diagnostic:
    """A character the language does not have."""
    char, line = source.text[at], source.line(at)[source.place(at)[1] - 1 :]
    if char == '"':
        end = at + len(line.rstrip())
        return errors.never_closed('"', Span(source, at, at + 1), Span(source, end, end + 1))
    quoted = re.match(f"[{_QUOTES}]([^{_QUOTES}]*)[{_QUOTES}]", line)
    if quoted:
        return errors.bad_character(char, Span(source, at, at + quoted.end()), f'write `"{quoted[1]}"`')
    run = len(line) - len(line.lstrip(char)) if char in "&|" else 1
    other = "names are made of a-z, A-Z, 0-9 and `_`" if char.isalpha() else "remove it"
    return errors.bad_character(char, Span(source, at, at + run), _FOREIGN.get(char, other))


def _never_closed(p: Place) -> Diagnostic | None:
    ended = p.found.kind in ("close", "end")
    lost = [i for i in p.brackets[1] if i < p.here and (ended or not p.is_block(i))]
    if not lost:
        return None
    return errors.never_closed(p.pieces[lost[-1]].text, p.span(p.pieces[lost[-1]]), p.span(p.found))


def _never_opened(p: Place) -> Diagnostic | None:
    if p.here not in p.brackets[2]:
        return None
    opener = OPENS[p.found.text]
    return p.unexpected(f"`{opener}` before it", f"remove it, or write the `{opener}` that it closes")


def _documentation(p: Place) -> Diagnostic | None:
    help = "`##` stands on lines of its own before the entry or block it documents; elsewhere write `#`"
    if p.found.kind == "comment":
        return p.unexpected("the end of the line" if p.line else "a value", help)
    if p.before.kind == "comment":
        return errors.unexpected("documentation", "an entry or a block after it", p.span(p.before), help)
    return None


def _many_values(p: Place) -> Diagnostic | None:
    """`width = {1, 2}` and `width = 1 .. 3`."""
    if p.found.text == "{" and p.before.text == "=":
        stop = p.pieces[p.brackets[0].get(p.here, p.here)].stop
        return errors.equals_set(Span(p.source, p.found.start, stop), p.text(target_of(p, p.here - 1), p.here - 1))
    if p.found.text != "..":
        return None
    sign = p.back(lambda q: q.text in ("=", "in"))
    if sign is None or p.pieces[sign].text == "in":
        return p.unexpected(wanted_at(p), "a range is written `width in 1..3` or `width in 32..128 step 32`")
    span = Span(p.source, p.pieces[sign + 1].start, p.pieces[p.forward() - 1].stop)
    return errors.equals_set(span, p.text(target_of(p, sign), sign), "a range")


def _equals_and_in(p: Place) -> Diagnostic | None:
    if {p.found.text, p.before.text} != {"=", "in"}:
        return None
    wanted = "a value" if p.before.text == "=" else "a domain"
    return p.unexpected(wanted, "`=` fixes one value, `in` searches several: keep one of the two")


def _comparison(p: Place) -> Diagnostic | None:
    """Chains of comparisons, and `=` and `==` in each other's place."""
    if p.found.text == "=" and p.line and p.accepts & {"PLUS"} and "EQUAL" not in p.accepts:
        tested = p.line[0].text in ("require", "maximize", "minimize") or "THEN" in p.accepts
        return p.unexpected("an operator", "to compare, write `==`") if tested else None
    if p.found.text not in _COMPARES:
        return None
    if "EQUAL" in p.accepts:
        name, sign = p.text(target_of(p, p.here), p.here), p.found.text
        if sign == "==":
            return p.unexpected("`=`", f"an entry is written `{name} = ...`; `==` compares")
        return p.unexpected("`=` or `in`", f"a constraint begins with `require`: `require {name} {sign} ...`")
    first = p.back(lambda q: q.text in _COMPARES or q.text in BOUNDARIES)
    if first is None or p.pieces[first].text in BOUNDARIES:
        return None
    left, middle = p.text(target_of(p, first), first), p.text(first + 1, p.here)
    right = f"{middle} {p.found.text} {p.text(p.here + 1, p.forward())}"
    rewritten = f"{left} {p.pieces[first].text} {middle} and {right}"
    return errors.chained_comparison(p.span(p.found), p.span(p.pieces[first]), rewritten)


def _use(p: Place) -> Diagnostic | None:
    if not p.line or p.line[0].text != "use" or p.found.text in WORDS or p.found.kind == "word":
        return None
    return p.unexpected(wanted_at(p), "modules are named `use std.blocks` or `use std.blocks as b`")


def _reserved(p: Place) -> Diagnostic | None:
    if p.found.text in ("=", "in") and p.before.text in WORDS and p.line == [p.before]:
        return errors.reserved(p.before.text, p.span(p.before))
    if p.accepts == {"NAME"} and p.before.text in WORDS and p.found.text in ("(", "{") and len(p.line) == 2:
        return errors.reserved(p.before.text, p.span(p.before))
    if p.found.text not in WORDS or "NAME" not in p.accepts:
        return None
    if p.wants_value and p.found.text in ("if", "not"):
        return p.unexpected("a value", f"inside an expression, put it in parentheses: `({p.found.text} ...)`")
    names = p.after.kind in ("word", "newline", "close") or p.after.text in ("=", "(", "{", ",", ".", "[")
    return errors.reserved(p.found.text, p.span(p.found)) if names or not p.wants_value else None


def _case(p: Place) -> Diagnostic | None:
    """`IN`, `If`, `Require`."""
    for piece in (p.found, p.before):
        word = piece.text.lower()
        if piece.kind == "word" and piece.text not in WORDS and word in WORDS:
            help = f"the words of the language are in lower case: `{word}`"
            return errors.unexpected(f"`{piece.text}`", f"`{word}`", p.span(piece), help)
    return None


def _colon(p: Place) -> Diagnostic | None:
    """`width: 3`, `width in {16: 2}`."""
    if p.found.text != ":" or not p.accepts & {"EQUAL", "COMMA"} or p.is_prior(p.opener):
        return None
    if "EQUAL" not in p.accepts:
        return p.unexpected(wanted_at(p), "`:` stands in a `prior`, between a value and its weight")
    name = p.text(target_of(p, p.here), p.here)
    if p.after.text == "{":
        return p.unexpected("`{`", f"a block is written `{name} {{ ... }}`")
    return p.unexpected("`=`", f"a value is given with `=`: `{name} = {p.text(p.here + 1, p.forward())}`")


def _not_in(p: Place) -> Diagnostic | None:
    """`width on {1, 2}`, `width {1, 2}`, `width of {1, 2}`."""
    brace = p.here if p.found.text == "{" else p.here - 1
    head = p.line[:-1] if brace < p.here else p.line
    if brace not in p.brackets[0] or p.pieces[brace].text != "{" or not head or head[-1].text in ("in", "="):
        return None
    if head[0].text == "prior" or (brace < p.here and (p.at_line_end or p.after.text in ("=", "in"))):
        return None
    meant = f"did you mean `{head[0].text} in {p.text(brace, p.brackets[0][brace] + 1)}`?"
    if len(head) == 2 and head[1].kind == "word":
        return errors.unexpected(f"`{head[1].text}`", "`in`", p.span(head[1]), meant)
    return errors.unexpected("`{`", "`in`", p.span(p.pieces[brace]), meant) if len(head) == 1 else None


def _line_end(p: Place) -> Diagnostic | None:
    """Two entries on one line, or a comma after the first."""
    if "_NL" not in p.accepts or not p.line:
        return None
    if p.found.text == ",":
        if p.after.kind == "word":
            return errors.one_per_line(p.span(p.after))
        return p.unexpected("the end of the line", "an entry ends with its line: remove the `,`")
    if p.found.text in SCALES and p.before.kind == "number" and p.after.kind in ("newline", "close", "end"):
        return p.unexpected(
            "the end of the line", f"a unit follows its number at once: `{p.before.text}{p.found.text}`"
        )
    starts = p.found.text in ("require", "use", "maximize", "minimize")
    if starts or (p.found.kind == "word" and (p.after.kind == "word" or p.after.text in ("=", ".", "[", "{", "("))):
        return errors.one_per_line(p.span(p.found))
    return None


def _arrow(p: Place) -> Diagnostic | None:
    """`x -> bn relu`: two links without an arrow between them."""
    if "_NL" not in p.accepts or p.found.kind != "word" or all(q.text != "->" for q in p.line):
        return None
    return p.unexpected("`->`", f"a chain goes on with `->`: `{p.before.text} -> {p.found.text}`")


def _domain(p: Place) -> Diagnostic | None:
    """`width in`, `width in 1 3`."""
    if p.wants_value and "LBRACE" in p.accepts:
        return p.unexpected("a domain", "a domain is a set `{1, 2}` or a range `1..3`")
    if "_RANGE" not in p.accepts:
        return None
    return p.unexpected("`..`", "a range is written `first..last`, a set `{a, b}`")


def _missing_value(p: Place) -> Diagnostic | None:
    if not p.wants_value:
        return None
    if p.at_line_end:
        return p.unexpected(
            "a value", f"write a value after `{p.before.text}` on the same line, or put the whole in `( )`"
        )
    return p.unexpected("a value", f"write a value between `{p.before.text}` and `{p.found.text}`")


def _prior(p: Place) -> Diagnostic | None:
    """`prior width {16 = 2}`, `prior width`."""
    if not p.is_prior(p.here) and not p.is_prior(p.opener):
        return None
    help = "a prior is written `prior width {16: 2, 24: 1}`: values, each with its weight"
    return _missing_comma(p) or p.unexpected(wanted_at(p), help)


def _head(p: Place) -> Diagnostic | None:
    """`stage s1 on fine` without its brace, `width 16`, `width`."""
    if not {"LBRACE", "EQUAL"} & p.accepts or p.wants_value or not p.line or "_NL" in p.accepts:
        return None
    head = p.text(p.here - len(p.line), p.here)
    clause = _CLAUSES.get(p.line[0].text)
    if clause and len(p.line) == 2 and p.found.kind in ("word", "number"):
        first = p.after if p.found.kind == "word" and p.after.kind in ("word", "number") else p.found
        rest = p.line_from(first)
        return p.unexpected(f"`{clause}`", f"write `{head} {clause} {rest} {{ ... }}`")
    if "EQUAL" in p.accepts:
        given = p.text(p.here, p.forward()) if p.found.kind in ("number", "string") else "..."
        return p.unexpected("`=`, `in` or a block", f"an entry is written `{head} = {given}`")
    if p.found.text in ("=", "in"):
        return p.unexpected(wanted_at(p), f"entries stand in blocks: `space name {{ {head} {p.found.text} ... }}`")
    meant = get_close_matches(p.line[0].text, ("require", "maximize", "minimize"), 1, 0.7)
    if meant:
        return errors.unexpected(
            f"`{p.line[0].text}`", f"`{meant[0]}`", p.span(p.line[0]), f"did you mean `{meant[0]}`?"
        )
    if p.at_line_end and any(q.text == "{" for q in p.pieces[p.here : p.here + 2]):
        return p.unexpected("`{`", f"put the `{{` on the same line: `{head} {{`")
    wanted = "`{`" if p.at_line_end else wanted_at(p)
    return p.unexpected(wanted, f"a block is written `{head} {{ ... }}`")


def _missing_comma(p: Place) -> Diagnostic | None:
    if "COMMA" not in p.accepts or not p.accepts & {"RPAR", "RSQB", "RBRACE"}:
        return None
    if "RSQB" in p.accepts and p.after.text == "in":
        help = f"a list is built by `[value for {p.found.text} in list]`"
        return p.unexpected("`for`", help)
    if p.found.kind in ("word", "number", "string", "open"):
        return p.unexpected("`,`", f"separate the values: `{p.before.text}, {p.found.text}`")
    return None


def _if(p: Place) -> Diagnostic | None:
    if not p.accepts & {"THEN", "ELSE"}:
        return None
    return p.unexpected(wanted_at(p), "every `if` has three parts: `if condition then value else value`")


def _operator_first(p: Place) -> Diagnostic | None:
    """A line that starts with an operator: the line before has already ended."""
    if p.line or p.found.text not in ("+", "-", "*", "/", "//", "%", ".", "..", "and", "or", *_COMPARES):
        return None
    return p.unexpected("an entry or a block", "an entry ends with its line: to go on, put the value in `( )`")


def _otherwise(p: Place) -> Diagnostic:
    if p.found.kind in ("number", "string") and not p.line:
        return p.unexpected("an entry or a block", _SHAPES)
    if "_NL" in p.accepts and p.line and not p.at_line_end:
        return p.unexpected(wanted_at(p), "an entry ends with its line")
    if p.accepts == {"IN"}:
        return p.unexpected(wanted_at(p), "a list is built by `[value for name in list if condition]`")
    if p.accepts == {"NAME"}:
        return p.unexpected("a name", "names are made of a-z, A-Z, 0-9 and `_`")
    return p.unexpected(wanted_at(p), _SHAPES)


RULES: tuple[Callable[[Place], Diagnostic | None], ...] = (
    *foreign.RULES,
    _never_closed,
    _never_opened,
    _documentation,
    _many_values,
    _equals_and_in,
    _comparison,
    _case,
    _colon,
    _use,
    _not_in,
    _line_end,
    _arrow,
    _reserved,
    _operator_first,
    _domain,
    _missing_value,
    _prior,
    _head,
    _missing_comma,
    _if,
    _otherwise,
)
"""From the most particular to the general; the first that answers wins."""
