"""Where the parser stopped, and what stands around: what the rules for syntax faults look at. Imports `pieces`, `errors`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from . import errors
from .diagnostic import Diagnostic, Source, Span
from .pieces import Piece, span_of

_WANTED = {
    "NAME": "a name",
    "_NL": "the end of the line",
    "THEN": "`then`",
    "ELSE": "`else`",
    "FOR": "`for`",
    "IN": "`in`",
    "EQUAL": "`=`",
    "_RANGE": "`..`",
    "COMMA": "`,`",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "COLON": "`:`",
    "PLUS": "an operator",
}
OPENS = {")": "(", "]": "[", "}": "{"}
BOUNDARIES = (
    *("=", "in", ",", ":", "->", "prior", "require", "maximize", "minimize"),
    *("if", "then", "else", "and", "or", "not"),
)


@dataclass(frozen=True)
class Place:
    """Where the parser stopped: before `pieces[here]`; it would have gone on with one of `accepts`."""

    source: Source
    pieces: list[Piece]
    here: int
    accepts: frozenset[str]

    @cached_property
    def line(self) -> list[Piece]:
        """What stands before the fault on its line."""
        first = self.here
        while first > 0 and self.pieces[first - 1].kind != "newline":
            first -= 1
        return self.pieces[first : self.here]

    @cached_property
    def before(self) -> Piece:
        """The last piece that fits."""
        return next((p for p in reversed(self.pieces[: self.here]) if p.kind != "newline"), self.pieces[0])

    @cached_property
    def found(self) -> Piece:
        """The piece that does not fit."""
        end = Piece("end", "", self.before.stop, self.before.stop)
        return self.pieces[self.here] if self.here < len(self.pieces) else end

    @cached_property
    def after(self) -> Piece:
        """The piece after that."""
        end = Piece("end", "", self.found.stop, self.found.stop)
        return self.pieces[self.here + 1] if self.here + 1 < len(self.pieces) else end

    @cached_property
    def brackets(self) -> tuple[dict[int, int], list[int], list[int]]:
        """Openers with their closers, openers without, closers without. Between braces the indentation decides."""
        pairs: dict[int, int] = {}
        lost: list[int] = []
        stray: list[int] = []
        stack: list[int] = []
        for i, piece in enumerate(self.pieces):
            if piece.kind == "open":
                stack.append(i)
            elif piece.kind == "close":
                depth = self._opener(stack, i)
                if depth is None:
                    stray.append(i)
                    continue
                lost += stack[depth + 1 :]
                pairs[stack[depth]] = i
                del stack[depth:]
        return pairs, sorted(lost + stack), stray

    def _opener(self, stack: list[int], close: int) -> int | None:
        fit = [d for d, i in enumerate(stack) if self.pieces[i].text == OPENS[self.pieces[close].text]]
        if not fit:
            return None
        starts_line = close == 0 or self.pieces[close - 1].kind == "newline"
        outer = [d for d in fit if self._indent(stack[d]) <= self._indent(close)]
        return outer[-1] if starts_line and outer else fit[-1]

    def _indent(self, i: int) -> int:
        line = self.source.line(self.pieces[i].start)
        return len(line) - len(line.lstrip())

    @cached_property
    def opener(self) -> int:
        """The innermost bracket around the fault, or the fault itself if there is none."""
        pairs, lost, _ = self.brackets
        around = (i for i in (*pairs, *lost) if i < self.here <= pairs.get(i, len(self.pieces)))
        return max(around, default=self.here)

    def is_block(self, i: int) -> bool:
        domain = i > 0 and self.pieces[i - 1].text in ("in", "=")
        return self.pieces[i].text == "{" and not domain and not self.is_prior(i)

    def is_prior(self, i: int) -> bool:
        """Does piece `i` stand in a line behind `prior`?"""
        line = takewhile(lambda p: p.kind != "newline", reversed(self.pieces[:i]))
        return any(p.text == "prior" for p in line)

    @property
    def wants_value(self) -> bool:
        return {"NUMBER", "LPAR"} <= self.accepts

    @property
    def at_line_end(self) -> bool:
        return self.found.kind in ("newline", "end")

    def back(self, fits: Callable[[Piece], bool]) -> int | None:
        """The nearest piece before the fault that fits, within the same brackets and the same entry."""
        opener = {close: first for first, close in self.brackets[0].items()}
        i = self.here - 1
        while i >= 0 and not fits(self.pieces[i]):
            if self.pieces[i].kind in ("open", "newline") or self.pieces[i].text == ",":
                return None
            i = opener.get(i, i) - 1
        return i if i >= 0 else None

    def forward(self) -> int:
        """Where the value that holds the fault ends."""
        i = self.here
        while i < len(self.pieces):
            piece = self.pieces[i]
            if piece.kind in ("close", "newline") or piece.text in (",", "and", "or", "then", "else", "->", "per"):
                break
            i = self.brackets[0].get(i, i) + 1
        return i

    def text(self, first: int, last: int) -> str:
        """The pieces from `first` up to but without `last` as the author wrote them."""
        return self.source.text[self.pieces[first].start : self.pieces[last - 1].stop] if first < last else "..."

    def line_from(self, piece: Piece) -> str:
        """The rest of a line from this piece on, up to the brace of a block."""
        rest = [*takewhile(lambda p: p.kind != "newline" and p.text != "{", self.pieces[self.pieces.index(piece) :])]
        return self.source.text[piece.start : rest[-1].stop]

    def span(self, piece: Piece) -> Span:
        """A piece's span; the end of a line shows right after the last piece that fits."""
        if piece.kind in ("newline", "end"):
            return Span(self.source, self.before.stop, self.before.stop + 1)
        return span_of(self.source, piece)

    def unexpected(self, wanted: str, help: str) -> Diagnostic:
        names = {"newline": "end of the line", "end": "end", "comment": "documentation"}
        return errors.unexpected(
            names.get(self.found.kind, f"`{self.found.text}`"), wanted, self.span(self.found), help
        )


def target_of(p: Place, end: int) -> int:
    """Where the operand or the entry's name that ends before piece `end` begins."""
    opener = {close: first for first, close in p.brackets[0].items()}
    i = end
    while i > 0 and p.pieces[i - 1].text not in BOUNDARIES and p.pieces[i - 1].kind not in ("open", "newline"):
        i = opener.get(i - 1, i - 1)
    return i


def wanted_at(p: Place) -> str:
    """What would fit, in words: `a`, `b` or `c`."""
    names = [words for name, words in _WANTED.items() if name in p.accepts]
    names = ["an entry or a block"] if "REQUIRE" in p.accepts and not p.line else names
    *most, last = names or ["something else"]
    return f"{', '.join(most)} or {last}" if most else last
