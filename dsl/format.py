"""The one canonical form of a text: source in, text out; nothing to configure, every comment kept.

A `_Writer` breaks what is too long for the one line that `flat` writes, or holds comments. Comments come from `scan`
and go back by position: on lines of their own before what follows them, or to the end of their line. Imports `parser`,
`pieces`, `flat` and the syntax tree.
"""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from .diagnostic import ArchError, Source
from .flat import (
    ANY,
    CHAIN,
    NOT,
    OR,
    POSTFIX,
    SUM,
    UNARY,
    Part,
    Row,
    branches_of,
    clauses_of,
    ends_of,
    flat,
    flat_entry,
    flat_head,
    level_of,
    per_of,
    tail_of,
    terms_of,
    title_of,
)
from .parser import parse
from .pieces import Piece, scan
from .syntax import (
    Attribute,
    Binary,
    Block,
    Call,
    Chain,
    Comprehension,
    File,
    Fix,
    Goal,
    If,
    Index,
    Interval,
    Line,
    Listed,
    ListOf,
    Members,
    Parameter,
    Prior,
    Require,
    Unary,
    Use,
    Vary,
    Weight,
)

WIDTH = 100
"""No line is longer, where it can be broken."""
_START = attrgetter("start")


def format_text(source: Source) -> str:
    """The canonical text of a file. Raises ArchError where it does not parse."""
    text = _Writer(source).file(parse(source))
    for _ in range(8):
        # A comment inside an entry may move out of it, and what it kept apart then joins.
        last = Source(source.name, text)
        try:
            text = _Writer(last).file(parse(last))
        except ArchError:  # the parentheses around what is broken nest too deep: leave the text alone
            return source.text.replace("\r\n", "\n").rstrip() + "\n"
        if text == last.text:
            break
    return text


class _Writer:
    """Writes one file in order; the comments from `self.at` on are not written yet."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.code: list[Piece] = []
        self.docs: list[int] = []
        self.comments: list[Piece] = []
        for piece in scan(source.text):
            if piece.kind not in ("comment", "newline"):
                self.code.append(piece)
            elif piece.text.startswith("##"):
                self.docs.append(piece.start)
            elif piece.kind == "comment":
                self.comments.append(piece)
        self.at = 0

    # what stands where

    def has_comment(self, start: int, stop: int) -> bool:
        """Does an unwritten comment stand between two offsets?"""
        i = bisect_left(self.comments, start, self.at, key=_START)
        return i < len(self.comments) and self.comments[i].start < stop

    def take(self, before: int) -> list[Piece]:
        """The unwritten comments before an offset."""
        first, self.at = self.at, bisect_left(self.comments, before, self.at, key=_START)
        return self.comments[first : self.at]

    def own(self, before: int, indent: int) -> list[str]:
        """The unwritten comments before an offset, on lines of their own."""
        return [" " * indent + c.text.rstrip() for c in self.take(before)]

    def spaced(self, before: int, indent: int) -> list[str]:
        """The same with the blank lines that stand before them."""
        return [text for c in self.take(before) for text in (*self.blank(c.start), " " * indent + c.text.rstrip())]

    def trailing(self, stop: int, before: int) -> str:
        """The comment behind what ends at `stop`, on the same line and before what comes next."""
        end = self.text.find("\n", stop)
        limit = min(before, end if end >= 0 else len(self.text))
        if self.at == len(self.comments) or not stop <= self.comments[self.at].start < limit:
            return ""
        return f"  {self.take(limit)[0].text.rstrip()}"

    def blank(self, start: int) -> list[str]:
        """A blank line, if one stands before the line that holds `start`."""
        end = self.text.rfind("\n", 0, start)
        return [""] if end >= 0 and not self.text[self.text.rfind("\n", 0, end) + 1 : end].strip() else []

    def find(self, text: str, after: int) -> int:
        """Where such a piece stands, from an offset on."""
        return next(p.start for p in self.code[bisect_left(self.code, after, key=_START) :] if p.text == text)

    def closer(self, stop: int) -> int:
        """Where the parenthesis around what ends at `stop` closes, if there is one."""
        i = bisect_left(self.code, stop, key=_START)
        return self.code[i].start if i < len(self.code) and self.code[i].text == ")" else stop

    def start(self, line: Line | Use) -> int:
        """Where a line begins; the span of a constraint or a prior leaves out its first word."""
        if not isinstance(line, Require | Prior):
            return line.span.start
        i, word = bisect_left(self.code, line.span.start, key=_START), type(line).__name__.lower()
        return next(p.start for p in reversed(self.code[:i]) if p.text == word)

    # items and lines

    def file(self, file: File) -> str:
        header = next(p for p in self.code if p.text == "hrdsl")
        out = [*self.spaced(header.start, 0), *self.blank(header.start), "hrdsl 1"]
        out[-1] += self.trailing(header.stop, len(self.text))
        last: Use | Block | None = None
        for item in file.items:
            lines = self.line(item, 0, len(self.text))
            together = isinstance(item, Use) and isinstance(last, Use)
            out += lines if together or not lines[0] else ["", *lines]
            last = item
        tail = self.spaced(len(self.text), 0)
        out += ["", *tail] if tail and tail[0] else tail
        return "\n".join(out).lstrip("\n") + "\n"

    def line(self, line: Line | Use, indent: int, before: int) -> list[str]:
        """An entry or a block under its comments and its documentation."""
        pad, start = " " * indent, self.start(line)
        docs = () if isinstance(line, Use) else line.docs
        first = self.docs[bisect_left(self.docs, start) - len(docs)] if docs else start
        lead = [*self.spaced(first, indent), *self.blank(first), *self.own(start, indent)]
        at = self.at
        body = self.block(line, indent) if isinstance(line, Block) else self.entry(line, pad, indent)
        above, below = self.rest(at, line.span.stop, indent)
        body[-1] += "" if below else self.trailing(line.span.stop, before)
        return [*lead, *above, *(f"{pad}## {text}".rstrip() for text in docs), *body, *below]

    def rest(self, at: int, stop: int, indent: int) -> tuple[list[str], list[str]]:
        """The comments of a part that found no place within it: above it, or below those that did since `at`."""
        written = self.at > at
        left = self.own(stop, indent)
        return ([], left) if written else (left, [])

    def entry(self, line: Fix | Vary | Require | Goal | Prior | Use, lead: str, indent: int) -> list[str]:
        match line:
            case Use():
                return [f"{lead}use {'.'.join(line.path)}" + (f" as {line.alias}" if line.alias else "")]
            case Require():
                return self.row(f"{lead}require ", line.condition, indent)
            case Goal():
                return self.row(f"{lead}{line.direction} ", line.value, indent)
            case Prior():
                return self.prior(line, lead, indent)
            case _:
                return self.row(lead, line, indent)

    def prior(self, line: Prior, lead: str, indent: int) -> list[str]:
        text = lead + flat_entry(line)
        if len(text) <= WIDTH and not self.has_comment(line.span.start, line.span.stop):
            return [text]
        out = self.row(f"{lead}prior ", line.quantity, indent, 2, CHAIN)
        inside = (self.find("{", line.quantity.span.stop), line.span.stop - 1)
        return [*out[:-1], *self.rows(f"{out[-1]} {{", _plain(line.weights), "}", indent, inside, ",")]

    def block(self, block: Block, indent: int) -> list[str]:
        pad, stop = " " * indent, block.span.stop - 1
        short = self.short(block, pad)
        if short:
            return [short]
        out = self.head(block, pad, indent)
        starts = [*(self.start(line) for line in block.lines), stop]
        out[-1] += " {" + self.trailing(self.find("{", block.head.stop), starts[0])
        body = [
            text
            for line, before in zip(block.lines, starts[1:], strict=True)
            for text in self.line(line, indent + 2, before)
        ]
        body += self.spaced(stop, indent + 2)
        return [*out, *(body[1:] if body and not body[0] else body), f"{pad}}}"]

    def short(self, block: Block, pad: str) -> str:
        """The block on one line, or nothing if it has to be broken."""
        if self.has_comment(block.span.start, block.span.stop) or len(block.lines) > 1:
            return ""
        inside = "{}"
        for line in block.lines:
            if isinstance(line, Block) or line.docs or "\n" in block.span.text:
                return ""
            inside = f"{{ {flat_entry(line)} }}"
        text = f"{pad}{flat_head(block)} {inside}"
        return text if len(text) <= WIDTH else ""

    def head(self, block: Block, pad: str, indent: int) -> list[str]:
        text = pad + flat_head(block)
        parameters = block.parameters or ()
        stop = self.find(")", parameters[-1].span.stop) if parameters else 0
        if not parameters or (len(text) + 2 <= WIDTH and not self.has_comment(block.span.start, stop)):
            return [text]
        opener = self.find("(", block.span.start)
        lead, close = f"{pad}{title_of(block)}(", ")" + tail_of(block)
        return self.rows(lead, _plain(parameters), close, indent, (opener, stop), ",")

    # expressions

    def row(self, lead: str, part: Part, indent: int, room: int = 0, least: int = ANY) -> list[str]:
        """`part` behind `lead`, with `room` for what follows it: on one line if it fits and holds no comment."""
        text = lead + flat(part, least)
        if len(text) + room <= WIDTH and not self.has_comment(part.span.start, part.span.stop):
            return [text]
        return self.broken(lead, part, indent, room, least)

    def broken(self, lead: str, part: Part, indent: int, room: int, least: int) -> list[str]:
        inside = (part.span.start, self.closer(part.span.stop))
        match part:
            case Fix():
                return self.row(f"{lead}{part.target} = ", part.value, indent, room)
            case Weight():
                return self.series(lead, [("", part.value, ANY), (": ", part.weight, ANY)], "", indent, room)
            case Vary(domain=Listed(value=value)):
                return self.series(f"{lead}{part.target} in ", [("", value, SUM)], per_of(part), indent, room)
            case Vary(domain=Interval() as domain):
                return self.series(f"{lead}{part.target} in ", ends_of(domain), per_of(part), indent, room)
            case Parameter(default=default) if default is not None:
                return self.row(f"{lead}{part.name} = ", default, indent, room)
            case Vary(domain=Members(items=items, span=span)):
                inside = (span.start, span.stop - 1)
                return self.rows(f"{lead}{part.target} in {{", _plain(items), "}" + per_of(part), indent, inside, ",")
            case Chain() | Unary() if level_of(part) < least:
                return self.rows(f"{lead}(", [("", part, ANY)], ")", indent, inside)
            case Chain():
                return self.chain(lead, part, indent, room)
            case If():
                return self.rows(f"{lead}(", branches_of(part), ")", indent, inside)
            case Binary():
                return self.rows(f"{lead}(", terms_of(part), ")", indent, inside)
            case Unary():
                word, inner = ("not ", NOT) if part.operator == "not" else ("-", UNARY)
                return self.row(lead + word, part.operand, indent, room, inner)
            case Attribute():
                out = self.row(lead, part.base, indent, room + len(part.name) + 1, POSTFIX)
                return [*out[:-1], f"{out[-1]}.{part.name}"]
            case Index():
                return self.series(lead, [("", part.base, POSTFIX), ("[", part.index, ANY)], "]", indent, room)
            case Call():
                out = self.row(lead, part.function, indent, 1, POSTFIX)
                inside = (self.find("(", part.function.span.stop), part.span.stop - 1)
                args = _plain((*part.positional, *part.named))
                return [*out[:-1], *self.rows(f"{out[-1]}(", args, ")", indent, inside, ",")]
            case ListOf():
                return self.rows(
                    f"{lead}[", _plain(part.items), "]", indent, (part.span.start, part.span.stop - 1), ","
                )
            case Comprehension():
                return self.rows(f"{lead}[", clauses_of(part), "]", indent, (part.span.start, part.span.stop - 1))
            case _:
                return [lead + flat(part, least)]

    def series(self, lead: str, parts: list[Row], tail: str, indent: int, room: int) -> list[str]:
        """Parts one behind the other on a line; each may break within itself."""
        out = [lead]
        for i, (word, part, least) in enumerate(parts):
            rest = "".join(w + flat(p, n) for w, p, n in parts[i + 1 :]) + tail
            out = [*out[:-1], *self.row(out[-1] + word, part, indent, room + len(rest), least)]
        return [*out[:-1], out[-1] + tail]

    def chain(self, lead: str, part: Chain, indent: int, room: int) -> list[str]:
        """One link per line, each behind its arrow."""
        first, *rest = part.links
        pad = " " * (indent + 4)
        out = self.row(lead, first, indent, 0, OR)
        last = first
        for link in rest:
            out[-1] += self.trailing(last.span.stop, link.span.start)
            out += self.own(link.span.start, indent + 4)
            out += self.row(f"{pad}-> ", link, indent + 4, room, OR)
            last = link
        return out

    def rows(
        self, lead: str, rows: list[Row], close: str, indent: int, inside: tuple[int, int], comma: str = ""
    ) -> list[str]:
        """One row per line between brackets that open and close at `inside`."""
        starts = [*(part.span.start for _, part, _ in rows), inside[1]]
        out = [lead + self.trailing(inside[0], starts[0])]
        for (word, part, least), before in zip(rows, starts[1:], strict=True):
            out += self.own(part.span.start, indent + 2)
            at = self.at
            lines = self.row(" " * (indent + 2) + word, part, indent + 2, len(comma), least)
            above, below = self.rest(at, part.span.stop, indent + 2)
            lines[-1] += comma + ("" if below else self.trailing(part.span.stop, before))
            out += [*above, *lines, *below]
        return [*out, *self.own(inside[1], indent + 2), " " * indent + close]


def _plain(parts: Sequence[Part]) -> list[Row]:
    return [("", part, ANY) for part in parts]
