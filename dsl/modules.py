"""Files and what they declare: `use` is resolved here. Only the file's own folder, the library and folders that installed packages name are read."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from . import errors
from .diagnostic import ArchError, Diagnostic, Source, Span
from .packages import module_folder, module_roots
from .parser import parse
from .syntax import Block, File, Use

STD = Path(__file__).with_name("std")
ITEMS = ("cell", "space", "train", "search")
LARGEST = 1_000_000
"""No file is longer, in bytes."""
MODULES = 100
"""A file uses no more, directly or through others."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its cells and spaces by name, and the modules it uses by alias."""

    name: str
    source: Source
    syntax: File
    cells: dict[str, Block] = field(repr=False)
    uses: dict[str, "Module"] = field(repr=False)
    blocks: tuple[Block, ...] = field(repr=False)

    def of_kind(self, kind: str) -> tuple[Block, ...]:
        return tuple(b for b in self.blocks if b.kind == kind)


def read_source(path: Path, name: str | None = None) -> Source:
    """A file as text. Raises ArchError if it is no text, OSError if it cannot be read."""
    with path.open("rb") as file:
        raw = file.read(LARGEST + 1)
    blank = Source(name or str(path), "")
    if len(raw) > LARGEST:
        raise ArchError(errors.too_large("the file", f"more than {LARGEST:,} bytes", LARGEST, Span(blank, 0, 0)))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        shown = Source(blank.name, raw[: fault.start].decode("utf-8"))
        raise ArchError(
            errors.not_text(Span(shown, len(shown.text), len(shown.text)), f"byte 0x{raw[fault.start]:02X}")
        ) from None
    return Source(blank.name, text.replace("\r\n", "\n"))


def load(path: Path) -> Module:
    """A file and everything it uses. Raises ArchError, OSError."""
    source = read_source(path)
    return load_source(source, path.resolve().parent)


def load_source(source: Source, root: Path | None = None) -> Module:
    """A text and everything it uses; `root` is the folder that its relative `use` may read."""
    return _Loader(root, Path(source.name).parent).module(source, Path(source.name).stem, ())


@cache
def library(name: str) -> Module:
    """A module of the standard library."""
    return load_source(read_source(STD / f"{name}.arch", f"std/{name}.arch"))


class _Loader:
    def __init__(self, root: Path | None, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.done: dict[tuple[str, ...], Module] = {}
        self.count = 0

    def module(self, source: Source, name: str, chain: tuple[tuple[str, ...], ...]) -> Module:
        syntax = parse(source)
        found: list[Diagnostic] = []
        uses: dict[str, Module] = {}
        places: dict[str, Span] = {}
        for item in syntax.items:
            label, span = _label(item)
            if label in places:
                found.append(errors.declared_twice(label, span, places[label]))
                continue
            places[label] = span
            if isinstance(item, Use):
                try:
                    uses[label] = self.use(item, chain)
                except ArchError as fault:
                    found += fault.found
            elif item.kind not in ITEMS:
                found.append(errors.unknown_block(item.kind, "a file", item.head, ITEMS))
            elif item.name is None:
                found.append(errors.missing_entry("a name", f"this {item.kind}", item.head, f"{item.kind} some_name"))
        if found:
            raise ArchError(*found)
        blocks = tuple(b for b in syntax.items if isinstance(b, Block))
        cells = {b.name: b for b in blocks if b.kind == "cell" and b.name}
        return Module(name, source, syntax, cells, uses, blocks)

    def use(self, use: Use, chain: tuple[tuple[str, ...], ...]) -> Module:
        key = use.path
        if key in chain:
            names = tuple(".".join(k) for k in (*chain[chain.index(key) :], key))
            raise ArchError(errors.cyclic_use(names, use.span, use.span))
        if key not in self.done:
            self.count += 1
            if self.count > MODULES:
                raise ArchError(errors.too_large("the program", f"more than {MODULES} modules", MODULES, use.span))
            path = self.find(use)
            own = path.parent == STD and key[0] == "std"
            self.done[key] = (
                library(key[-1])
                if own
                else self.module(read_source(path, self.shown(key, path)), key[-1], (*chain, key))
            )
        return self.done[key]

    def find(self, use: Use) -> Path:
        base, inner = self.base(use)
        path = base.joinpath(*inner).with_suffix(".arch") if base else None
        if path is None or base is None or not path.is_file():
            raise ArchError(errors.no_module(".".join(use.path), _path(use), self.known(use, base)))
        if not path.resolve().is_relative_to(base.resolve()):
            raise ArchError(errors.outside_root(".".join(use.path), _path(use)))
        return path

    def base(self, use: Use) -> tuple[Path | None, tuple[str, ...]]:
        """The folder that a path starts from, and the rest of the path."""
        first, *rest = use.path
        if not rest:
            return self.root, use.path
        if first == "std":
            return STD, tuple(rest)
        roots = module_roots()
        return (module_folder(roots[first], use.span), tuple(rest)) if first in roots else (self.root, use.path)

    def known(self, use: Use, base: Path | None) -> list[str]:
        """Modules that may have been meant."""
        names = [f"std.{p.stem}" for p in STD.glob("*.arch")]
        if base and base not in (self.root, STD):
            names += [f"{use.path[0]}.{p.stem}" for p in sorted(base.glob("*.arch"))[:200]]
        if self.root:
            names += [p.stem for p in sorted(self.root.glob("*.arch"))[:200]]
        return names

    def shown(self, key: tuple[str, ...], path: Path) -> str:
        """The name of a module in messages: below the library, or beside the file that the user named."""
        if key[0] == "std":
            return "/".join(key) + ".arch"
        return (
            str(self.folder / path.relative_to(self.root))
            if self.root and path.is_relative_to(self.root)
            else str(path)
        )


def _path(use: Use) -> Span:
    """The place of the path behind the word `use`."""
    start = use.span.start + use.span.text.index(use.path[0], len("use"))
    length = len(".".join(use.path))
    return Span(use.span.source, start, min(start + length, use.span.stop))


def _label(item: Use | Block) -> tuple[str, Span]:
    if isinstance(item, Use):
        return item.alias or item.path[-1], item.span
    # a space, its training and its search may share a name; a cell may not share one with a module
    return (item.name or "") if item.kind == "cell" else f"{item.kind} {item.name}", item.head
