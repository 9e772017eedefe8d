"""A found network as text: the same file with every `in` turned into `=`.

An `in` that made one decision is edited where it stands. One that made several (`per branch`, `per cell`, inside a cell)
gets one dotted line for each place: `fine[1].kernel = 3`. The `search` block, priors and constraints on what is not there go;
comments and all else stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..dsl.diagnostic import ArchError, Source, Span
from ..dsl.format import format_text
from ..dsl.modules import Module, load_source
from ..dsl.syntax import Block, Interval, Members, Prior, Syntax, Vary, path_text
from .api import Compiled, compile_module
from .constraints import figures
from .graph import Choice
from .kinds import label_of
from .sym import at, deps

Edit = tuple[int, int, str]
Place = tuple[str | int, ...]


def found_text(compiled: Compiled, genes: Sequence[int], notes: Sequence[str] = ()) -> str:
    """The `.arch` text of one architecture; `notes` become comments above the space."""
    try:
        return _closed(_Writer(compiled, genes, notes))
    except ArchError:
        return _spread(_Writer(compiled, genes, notes, spread=True))


def _closed(writer: "_Writer") -> str:
    """The text with every decision closed; those that it still opens are closed with their first value."""
    for _ in range(ROUNDS):
        text = writer.formatted()
        try:
            again = compile_text(text, writer.compiled)
        except ArchError as fault:
            if not writer.leave_out(fault):
                raise
            continue
        if not again.graph.sites:
            writer.check(again)
            return text
        rest = _Writer(again, (0,) * len(again.graph.decisions), ())
        writer.extra |= {(*c.owner, c.name): rest.value(c, 0) for c in again.graph.sites}
    raise ValueError(f"cannot close {', '.join(d.path for d in again.graph.decisions)}")


def _spread(writer: "_Writer") -> str:
    """The text with one line for each place that reads a decision; the `in` lines go when nothing is left to read them."""
    text = _closed(writer)
    for rest in ("gone", "first"):
        writer.rest = rest
        try:
            return _closed(writer)
        except ArchError:
            continue
    return text


def compile_text(text: str, like: Compiled) -> Compiled:
    """A text in the place of the file it came from: the same space, the same settings, the same modules in reach."""
    name = like.model.module.source.name
    module = load_source(Source(name, text), Path(name).resolve().parent)
    return compile_module(module, like.space.name, like.settings)


def blocks_of(compiled: Compiled, kind: str) -> Iterator[Block]:
    """The `train` or `search` blocks for the space in its file."""
    for block in compiled.model.module.of_kind(kind):
        if any(c.kind == "for" and c.names[0].text == compiled.space.name for c in block.clauses):
            yield block


def value_text(value: Any, label: str) -> str:
    """A chosen value as the language writes it."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(value_text(v, label_of(v)) for v in value)}]"
    return str(value) if isinstance(value, Fraction) else label


ROUNDS = 8
"""Closing decisions may bring others to light, at most so often."""


class _Writer:
    def __init__(self, compiled: Compiled, genes: Sequence[int], notes: Sequence[str], spread: bool = False) -> None:
        self.compiled = compiled
        self.rest = "open" if spread else ""
        """What becomes of `in` lines whose places have lines of their own: they stay, are gone, or take the first value."""
        self.genes = genes
        self.notes = notes
        self.module: Module = compiled.model.module
        self.space: Block = next(b for b in self.module.of_kind("space") if b.name == compiled.space.name)
        self.stages = {s.name for s in compiled.space.stages}
        self.varies = {v.span: v for m in _modules(self.module) for v in _walk(m.syntax, Vary)}
        self.by_span: dict[Span, list[Choice]] = {}
        for choice in compiled.graph.sites:
            self.by_span.setdefault(choice.span, []).append(choice)
        self.extra: dict[Place, str] = {}
        self.idle: set[Span] = set()
        """Overrides of what the architecture does not have."""
        self.filled: set[int] = set()
        """Decisions that were written together with the cell that they belong to."""

    def leave_out(self, fault: ArchError) -> bool:
        """Drop the overrides that name nothing once the decisions are closed; whether that is all that is wrong."""
        space = self.compiled.space
        placed = [((), e) for e in space.overrides] + [((s.name,), e) for s in space.stages for e in s.overrides]
        known = {f"`{path_text((*place, *e.target.parts))}`": e.span for place, e in placed}
        wrong = {d.title.split(" ")[0] for d in fault.found if d.code == "E213"}
        spans = {known[name] for name in wrong if name in known} - self.idle
        self.idle |= spans
        unread = {place for place in self.extra if f"`{path_text(place)}`" in wrong}
        self.extra = {place: text for place, text in self.extra.items() if place not in unread}
        return bool(spans or unread) and all(d.code == "E213" for d in fault.found)

    def formatted(self) -> str:
        return format_text(Source(self.module.source.name, self.text()))

    def check(self, again: Compiled) -> None:
        """Raises ArchError unless a network without decisions is the architecture: what it computes costs the same."""
        if figures(again.graph, ()) != figures(self.compiled.graph, self.genes):
            raise ArchError()

    def text(self) -> str:
        """The edited source, not yet formatted."""
        edits: list[Edit] = []
        lines: dict[Place, str] = dict(self.extra)
        inner = {v.span for m in _modules(self.module) for v in _nested(m.syntax)}
        for span, choices in self.by_span.items():
            if span in inner:
                continue
            self._site(self.varies[span], choices, edits, lines)
        lines |= self._finer(inner)
        edits += self._unread()
        edits += [(span.start, span.stop, "") for span in self.idle]
        source = self.module.source.text
        edits += [
            (documented(source, r.span.start, r.docs), r.span.stop, "") for r in blocks_of(self.compiled, "search")
        ]
        edits += self._idle()
        edits += self._parameters()
        edits += self._inserted(lines)
        edits.append((self.space.span.start, self.space.span.start, "".join(f"# {n}\n" for n in self.notes)))
        return _edited(self.module.source.text, 0, edits)

    def _parameters(self) -> Iterator[Edit]:
        """What was set from outside becomes the default."""
        for p in self.space.parameters or ():
            if p.name in self.compiled.settings:
                value = self.compiled.settings[p.name]
                yield p.span.start, p.span.stop, f"{p.name} = {value_text(value, label_of(value))}"

    def _idle(self) -> Iterator[Edit]:
        """Constraints on what the architecture does not have, which would apply once that is fixed; and its priors."""
        active, text = self.compiled.decisions.active, self.module.source.text
        for c in self.compiled.graph.constraints:
            if c.declared and not all(at(active[d.index], self.genes) for d in deps(c.condition)):
                start = text.rindex("require", 0, c.syntax.condition.span.start)
                yield documented(text, start, c.syntax.docs), c.syntax.condition.span.stop, ""
        for p in (line for line in self.space.lines if isinstance(line, Prior)):
            start = text.rindex("prior", 0, p.quantity.span.start)
            yield documented(text, start, p.docs), p.span.stop, ""

    def _unread(self) -> Iterator[Edit]:
        """Entries of the space with `in` that made no decision, and hold none: their first value, or nothing."""
        for block in (self.space, *(b for b in self.space.lines if isinstance(b, Block))):
            for line in block.lines:
                if isinstance(line, Vary) and line.span not in self.by_span and not [*_walk(line.domain, Vary)]:
                    yield self._instead(line, _first(line))

    def _instead(self, vary: Vary, text: str) -> Edit:
        """What stands in the place of a line; where that is nothing, its documentation goes too."""
        docs = () if text else vary.docs
        return documented(self.module.source.text, vary.span.start, docs), vary.span.stop, text

    def _site(self, vary: Vary, choices: list[Choice], edits: list[Edit], lines: dict[Place, str]) -> None:
        live = [c for c in choices if self._active(c)]
        here = vary.span.source is self.module.source and _inside(vary.span, self.space.span)
        live = live or (choices[:1] if here else [])
        texts = {(*c.owner, c.name): self._chosen(c) for c in live}
        if self.rest and here and self._is_line(vary):
            lines |= texts
            first = f"{vary.target} = {self.value(choices[0], 0)}" if self.rest == "first" else ""
            edits += [] if self.rest == "open" else [self._instead(vary, first)]
            return
        line = self._is_line(vary)
        if here and len(set(texts.values())) == 1 and (line or not self._overridden(choices[0])):
            edits.append((vary.span.start, vary.span.stop, f"{vary.target} = {next(iter(texts.values()))}"))
            return
        if here and line:
            edits.append(self._instead(vary, ""))
        lines |= texts

    def _overridden(self, choice: Choice) -> bool:
        """Whether an override names such an argument: only an `in` can be overridden."""
        space = self.compiled.space
        targets = (e.target.parts for e in (*space.overrides, *(o for s in space.stages for o in s.overrides)))
        return any(parts[-2:] == (*choice.owner[-1:], choice.name) for parts in targets)

    def _is_line(self, vary: Vary) -> bool:
        blocks = [self.space, *(b for b in self.space.lines if isinstance(b, Block))]
        return any(line is vary for b in blocks for line in b.lines)

    def _active(self, choice: Choice) -> bool:
        return bool(at(self.compiled.decisions.active[choice.decision.index], self.genes))

    def _chosen(self, choice: Choice) -> str:
        """The chosen value of a decision as text; a cell keeps its arguments, with their own choices filled in."""
        return self.value(choice, self.genes[choice.decision.index])

    def value(self, choice: Choice, gene: int) -> str:
        value = choice.decision.values[gene]
        domain = self.varies[choice.span].domain
        if value is None or isinstance(value, int | Fraction | str | tuple):
            return value_text(value, choice.decision.labels[gene])
        assert isinstance(domain, Members)
        return self._filled(domain.items[gene], choice.owner)

    def _filled(self, node: Syntax, owner: Place) -> str:
        edits: list[Edit] = []
        for vary in _walk(node, Vary, outermost=True):
            near = [c for c in self.by_span.get(vary.span, ()) if _related(c.owner[:-1], owner)]
            mine = [c for c in near if self._active(c)] or near[:1]
            texts = {self._chosen(c) for c in mine}
            if len(texts) == 1:
                self.filled |= {c.decision.index for c in mine}
                edits.append((vary.span.start, vary.span.stop, f"{vary.target} = {texts.pop()}"))
        return _edited(node.span.text, node.span.start, edits)

    def _finer(self, inner: set[Span]) -> dict[Place, str]:
        """Arguments that differ within the place of the cell that they are given to."""
        choices = [c for span in inner for c in self.by_span.get(span, ())]
        left = [c for c in choices if self._active(c) and c.decision.index not in self.filled]
        return {(*c.owner, c.name): self._chosen(c) for c in left}

    def _inserted(self, lines: Mapping[Place, str]) -> Iterator[Edit]:
        """Dotted lines at the end of their stage, or of the space."""
        grouped: dict[int, list[str]] = {}
        for path, value in lines.items():
            stage = str(path[0]) if path[0] in self.stages and len(path) > 2 else None
            block = next(
                (
                    b
                    for b in self.space.lines
                    if isinstance(b, Block) and b.kind in ("stage", "routes") and b.name == stage
                ),
                self.space,
            )
            target = path_text(path[1:] if stage else path)
            grouped.setdefault(block.span.stop - 1, []).append(f"{target} = {value}")
        for at_end, rows in grouped.items():
            yield at_end, at_end, "\n" + "\n".join(rows) + "\n"


def documented(text: str, start: int, docs: Sequence[str]) -> int:
    """Where an entry or a block begins with its documentation."""
    for _ in docs:
        start = text.rindex("##", 0, start)
    return start


def _first(vary: Vary) -> str:
    """An entry closed with the first value that it names; empty where it names none."""
    match vary.domain:
        case Members(items=(first, *_)) | Interval(first=first):
            return f"{vary.target} = {first.span.text}"
    return ""


def _modules(module: Module) -> Iterator[Module]:
    yield module
    for used in module.uses.values():
        yield from _modules(used)


def _walk(node: Any, kind: type, outermost: bool = False) -> Iterator[Any]:
    """Every part of a tree that is of one kind."""
    if isinstance(node, kind):
        yield node
        if outermost:
            return
    if isinstance(node, tuple):
        for item in node:
            yield from _walk(item, kind, outermost)
    elif is_dataclass(node) and not isinstance(node, Span):
        for f in fields(node):
            if f.name not in ("span", "head"):
                yield from _walk(getattr(node, f.name), kind, outermost)


def _nested(block: Syntax) -> Iterator[Vary]:
    """`in` among the arguments of a member of another `in`: written together with it."""
    for outer in _walk(block, Vary):
        yield from _walk(outer.domain, Vary)


def _related(one: Place, other: Place) -> bool:
    """Whether one place holds the other."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _inside(inner: Span, outer: Span) -> bool:
    return inner.source is outer.source and outer.start <= inner.start and inner.stop <= outer.stop


def _edited(text: str, offset: int, edits: Sequence[Edit]) -> str:
    out, at = [], 0
    for start, stop, new in sorted(edits, key=lambda e: (e[0], e[1])):
        out.append(text[at : start - offset])
        out.append(new)
        at = max(at, stop - offset)
    return "".join([*out, text[at:]])
