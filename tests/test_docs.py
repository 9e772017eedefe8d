"""The documents against the code: every example runs, every code, operator, setting, limit and file is named."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hrdsl.cli.forms import setting
from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.operator import signature
from hrdsl.compiler.ops import operators
from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.modules import load_source
from hrdsl.dsl.numbers import SCALES
from hrdsl.dsl.pieces import WORDS
from hrdsl.dsl.settings import OPTIONS, Option

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("dsl", "compiler", "runtime", "cli")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(arch(?:-\w+)?)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")

HEAD = "hrdsl 1\n\nuse std.blocks\nuse std.fusion\n\n"
CELL = """
space wrapped {
  input = [3, 32, 32]
  stem = conv(1, width = 16)
  branch only at 1/1 { width = 16 }
  stage s1 on only { cell = %s }
  head = concat
}
"""
SPACE = """space wrapped(classes = 4) {
  input = [3, 32, 32]
  stem = conv(3, width = 16)
  head = fusion.concat_up -> conv(1, width = classes)
%s}
"""


class Example(NamedTuple):
    """A fenced block: its mark, the word behind the mark, and the file that it stands for."""

    kind: str
    code: str
    text: str


def examples(page: str) -> Iterator[object]:
    path = ROOT / page
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for match in FENCE.finditer(text):
        kind, code, body = match[1], match[2] or "", match[3]
        line = text.count("\n", 0, match.start()) + 1
        yield pytest.param(Example(kind, code, whole(kind, body)), id=f"{page}:{line}")


def whole(kind: str, body: str) -> str:
    """The complete file that a block stands for."""
    if kind == "arch-cell":
        return HEAD + body + CELL % re.findall(r"^cell (\w+)", body, re.MULTILINE)[-1]
    return HEAD + SPACE % body if kind == "arch-space" else body


def compiled(text: str) -> Compiled:
    """Every space of a text compiles and has an architecture; the first one is returned."""
    module = load_source(Source("example.arch", text))
    names = [block.name for block in module.of_kind("space")] or [None]
    spaces = [compile_module(module, name) for name in names]
    for space in spaces:
        space.decisions.check()
        assert space.decisions.count().value > 0
    return spaces[0]


@pytest.mark.parametrize("example", [*examples("SPEC.md"), *examples("README.md")])
def test_examples(example: Example) -> None:
    if example.kind != "arch-error":
        compiled(example.text)
        return
    with pytest.raises(ArchError) as raised:
        compiled(example.text)
    assert [d.code for d in raised.value.found] == [example.code]


def test_example_paths() -> None:
    """The paths that the section on decisions writes beside its example are those of the compiler."""
    spec = (ROOT / "SPEC.md").read_text(encoding="utf-8")
    body = next(m[3] for m in FENCE.finditer(spec) if "# s1.times" in m[3])
    paths = {d.path for d in compiled(whole("arch-space", body)).graph.decisions}
    written = {w for comment in re.findall(r"# (.*)", body) for w in comment.split(", ") if w != "..."}
    assert written and written <= paths


SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")


def rows(first: str) -> list[str]:
    """The rows of tables whose first cell is this."""
    return [line for line in SPEC.splitlines() if line.startswith(f"| {first} |")]


def test_codes() -> None:
    defined = re.findall(r'"([EW]\d{3})"', (ROOT / "dsl" / "errors.py").read_text(encoding="utf-8"))
    listed = re.findall(r"^\| ([EW]\d{3}) \|", SPEC, re.MULTILINE)
    assert listed == sorted(set(defined))


@pytest.mark.parametrize("name", sorted(operators()))
def test_operators(name: str) -> None:
    """The table has one row for each operator, with its settings and defaults in order."""
    (row,) = (row for row in rows(f"`{name}`") if row.count("|") > 4)
    settings = re.findall(r"`([^`]+)`", row.split("|")[3].replace("`nearest`", ""))
    wanted = [f.name if f.required else f"{f.name} = {str(f.default).lower()}" for f in signature(operators()[name])]
    assert settings == wanted


def options() -> list[tuple[str, Option]]:
    return [(name, option) for block in OPTIONS.values() for name, option in block.items()]


@pytest.mark.parametrize(("name", "option"), options())
def test_settings(name: str, option: Option) -> None:
    found = " ".join(rows(f"`{name}`"))
    default = option.default.name if option.kind == "call" else setting(option.default)
    assert re.search(rf"\| `?{re.escape(default)}`? \|", found)
    assert all(f"`{choice}`" in found for choice in option.choices)
    for call, inner in option.calls.items():
        shown = ", ".join(f"{n} = {setting(o.default)}" for n, o in inner.items())
        assert f"`{call}({shown})`" in found if inner else f"`{call}`" in found


def test_words_and_units() -> None:
    assert set(re.findall(r"`(\w+)`", SPEC.split("**Reserved words**")[1].split(":", 1)[1].split(".")[0])) == WORDS
    assert all(f"`{suffix}`" in SPEC for suffix in SCALES if suffix)


def test_limits() -> None:
    from hrdsl.compiler import budget, build, decisions, factors, functions, sym
    from hrdsl.dsl import actions, diagnostic, modules, numbers, pieces

    limits = [pieces.LENGTH, modules.LARGEST, modules.MODULES, pieces.NESTING, actions.LEVELS, diagnostic.MOST]
    limits += [numbers.DIGITS, budget.STEPS, budget.BITS, build.MOST_TIMES]
    limits += [functions.WIDEST, build.MOST_NODES, build.DEEPEST, factors.LARGEST]
    limits += [decisions.ENUMERABLE, decisions.PATIENCE, 4 * sym.LIMIT]
    for limit in limits:
        assert re.search(rf"(?<![\d,]){limit:,}(?![\d,])", SPEC), limit


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_module_is_on_the_map() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    modules = {m for layer in LAYERS for m in (ROOT / layer).rglob("*.py") if m.name != "__init__.py"}
    missing = {m.relative_to(ROOT).as_posix() for m in modules if f"`{m.name}`" not in text}
    assert not missing
