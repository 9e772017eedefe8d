"""What the verbs share: the parser, common options, printing. Imports nothing heavy."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, HelpFormatter, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from errno import ENOENT
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ..dsl.diagnostic import ArchError, Diagnostic, render

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from ..compiler.api import Compiled

    Verbs = _SubParsersAction["Parser"]
    """What `declare` gets: `verbs.add_parser(name)` makes the verb's parser."""


class UsageError(Exception):
    """The command cannot be run as it was given: one line, exit status 2."""


class Parser(ArgumentParser):
    """Options in full only; one line for a fault, and what the option may have been meant to be."""

    def __init__(self, *args: Any, text: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": _Formatter, **kwargs})
        self.text = text

    def format_help(self) -> str:
        return self.text or super().format_help()

    def error(self, message: str) -> NoReturn:
        from ..dsl.errors import near

        head, _, words = message.partition("unrecognized arguments: ")
        if not head and words.startswith("-"):
            option = words.split()[0].split("=")[0]
            message = f"unknown option `{option}`: {near(option, self._option_string_actions)}"
        raise UsageError(f"{self.prog.removeprefix('hrdsl').strip()}: {message}; see `{self.prog} --help`".lstrip(": "))


class _Formatter(HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(110, int(os.environ.get("COLUMNS") or 100)))

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Names with a hyphen stay on one line."""
        return wrap(" ".join(text.split()), width, break_on_hyphens=False)


# options -----------------------------------------------------------------------------------------------------------


def add_json(parser: ArgumentParser) -> None:
    """`--json`, which every verb has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_space(parser: ArgumentParser) -> None:
    """`--json` and the options of verbs that read a space."""
    add_json(parser)
    parser.add_argument("--space", metavar="NAME", help="the space of that name (default: the first)")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_pair,
        help="a parameter of the space; repeatable",
    )


def add_file(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="an .arch file")


def whole(least: int = 1) -> Any:
    """An argparse type: a whole number of at least `least`."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) < least:
            raise ArgumentTypeError(f"a whole number of at least {least} is needed, not `{text}`")
        return int(text)

    return number


def _pair(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier() or not value.strip():
        raise ArgumentTypeError(f"write `name=value`, not `{text}`")
    return text


def settings(args: Namespace) -> dict[str, Any]:
    """What `--set` says."""
    if not args.set:
        return {}
    from ..compiler.api import read_settings

    values = read_settings(args.set)
    for pair in args.set:
        name, _, text = pair.partition("=")
        if values[name.strip()] is None and text.strip() != "none":
            raise UsageError(f"--set {pair}: `{text.strip()}` has no value of its own")
    return values


def compiled(args: Namespace) -> "Compiled":
    """The space that the arguments name, checked and elaborated; its warnings are shown."""
    from ..compiler.api import compile_file

    found = compile_file(args.file, args.space, settings(args))
    faults(found.warnings)
    return found


def decided(args: Namespace) -> "Compiled":
    """The same, its constraints checked too: some architecture meets them all."""
    found = compiled(args)
    warnings = found.decisions.check()
    faults(warnings)
    return replace(found, warnings=(*found.warnings, *warnings))


def within(count: int, most: int, what: str) -> None:
    if count > most:
        raise UsageError(f"{what}: at most {most:,} are possible")


class Gather:
    """A `with` block that keeps what an ArchError found and goes on behind the block."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def __enter__(self) -> "Gather":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ArchError):
            return False
        self.found += error.found
        return True


# output ------------------------------------------------------------------------------------------------------------


def print_line(text: str = "", stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout)


def print_json(data: Mapping[str, Any]) -> None:
    """One object, ASCII, keys in the order of the documentation."""
    import json

    print(json.dumps(data, indent=2))


def show(args: Namespace, data: Mapping[str, Any], lines: Iterable[str]) -> int:
    """The result: `data` with --json, else `lines`. The status is 0."""
    if args.json:
        print_json(data)
    else:
        for line in lines:
            print_line(line)
    return 0


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = (), indent: int = 2) -> list[str]:
    """Rows as aligned lines; the columns in `right` are flushed right."""
    flush = set(right)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = [
        [c.rjust(w) if i in flush else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))] for r in rows
    ]
    return [(" " * indent + "  ".join(r)).rstrip() for r in pad]


def write_text(path: Path, text: str) -> None:
    """Replace a file at once: whoever reads it sees the old text or the new, never a part. Its mode stays."""
    import tempfile

    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, "the folder does not exist", str(path.parent))
    mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name[:40]}.", delete=False) as file:
        new = Path(file.name)
        with _Remove(new):
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            new.chmod(mode)
            new.replace(path)


class _Remove:
    """Removes a file if the block fails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


# diagnostics -------------------------------------------------------------------------------------------------------


def faults(found: Iterable[Diagnostic]) -> None:
    """Diagnostics for people, on stderr."""
    for i, d in enumerate(found):
        text = render(d)
        print_line(("\n" if i else "") + (paint(text) if coloured(sys.stderr) else text), sys.stderr)


def coloured(stream: TextIO | None) -> bool:
    """Is this a terminal, and are colours wanted? https://no-color.org"""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    return wanted and stream is not None and stream.isatty()


def paint(text: str) -> str:
    """A rendered diagnostic with its first words and its markers in colour."""
    import re

    def within(code: str) -> Callable[[re.Match[str]], str]:
        return lambda m: f"{m[1]}\x1b[{code}m{m[2]}\x1b[0m"

    colour = "33" if text.startswith("warning") else "31"
    text = re.sub(r"\A()(\w+\[\w+\])", within(f"1;{colour}"), text)
    text = re.sub(r"(?m)^( +\|[ \t]+)(\^+.*)$", within(colour), text)
    return re.sub(r"(?m)^( +\|[ \t]+)(-+(?: .*)?)$", within("34"), text)
