"""Reading a large file, imports done: parse alone, then all that `hrdsl check` does, in lines per second."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from timing import Phases, Report, Target, interleave, seconds, spread

from hrdsl.cli.check import check
from hrdsl.dsl.modules import read_source
from hrdsl.dsl.parser import parse
from hrdsl.dsl.pieces import LENGTH

ROUNDS = 4
LINES = 2_000

HEAD = """hrdsl 1

use std.blocks
use std.fusion
"""
CELL = """
## A wide and a narrow way, one beside the other, and a shortcut.
## `kernel`: of the wide way, odd.
cell ways_{k}(width, kernel = 3, ratio = 1/2) {{
  hidden = width * ratio  # channels within
  wide = x
      -> conv(1, hidden)
      -> bn
      -> relu
      -> conv(kernel, width)
      -> bn

  # The narrow way reads the same input.
  narrow = x -> depthwise(kernel in {{3, 5}}) -> bn -> relu -> conv(1, width) -> bn
  shortcut = if x.width == width then x else x -> conv(1, width) -> bn
  out = [wide, narrow, shortcut] -> sum -> relu
}}
"""
SPACE = """
## Two branches of three stages.
space net_{k}(classes = 11) {{
  input = [3, 64, 64]
  stem = blocks.conv_bn_relu(3, stride = 2, width = 16)

  branch fine at 1/2 {{ width in {{8, 16}} }}
  branch coarse at 1/4 {{ width in 16..48 step 16 }}

  stage s0 on fine {{ cell = blocks.residual }}
{stages}
  head = fusion.concat_up -> conv(1, width = classes, bias = true)

  require coarse.width >= 3/2 * fine.width
  require macs <= 10G
}}
"""
STAGE = """
  # The cell is chosen; times is not.
  stage s{n} on {branch} {{
    cell in {{ways_{a}, ways_{b}(kernel = 5)}}
    times = {times}
  }}
"""
CELLS = 12
"""Cells before each space, whose stages use them two by two."""


def large(lines: int) -> str:
    """A file of cells, and of spaces that use them: about so many lines, and no longer than a file may be."""
    out, count, k = HEAD, 0, 0
    while count < lines:
        pairs = [(n, n + 1) for n in range(k, k + CELLS, 2)]
        stages = "".join(
            STAGE.format(n=n, a=a, b=b, branch=("coarse", "fine")[n % 2], times=n % 3 % 2 + 1)
            for n, (a, b) in enumerate(pairs, 1)
        )
        text = "".join(CELL.format(k=n) for n in range(k, k + CELLS)) + SPACE.format(k=k, stages=stages)
        if len(out) + len(text) > LENGTH:
            break
        out, count, k = out + text, count + text.count("\n"), k + CELLS
    return out


def main() -> None:
    files = {f"{LINES:,} lines": large(LINES), "the longest file": large(LENGTH)}
    report = Report(
        "Reading a large file, after imports",
        ["lines", "characters", "parse s", "check s", "lines/s parsed", "lines/s checked"],
    )
    rates: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:

        def variant(name: str) -> Phases:
            path = Path(folder, f"{len(files[name])}.arch")
            path.write_text(files[name])

            def phases() -> Iterator[str]:
                parse(read_source(path))
                yield "parse"
                found, diagnostics = check(path, None, {})
                assert found["ok"] and not diagnostics
                yield "check"

            return phases

        times = interleave({name: variant(name) for name in files}, ROUNDS)
    for name, text in files.items():
        found = {phase: spread(seconds(times, name, phase)) for phase in ("parse", "check")}
        rates[name] = [text.count("\n") / s.median for s in found.values()]
        report.add(f"{text.count(chr(10)):,}", f"{len(text):,}", *found.values(), *rates[name])
    for name, (parsed, checked) in rates.items():
        report.targets += [
            Target(f"parsing, {name}", 10_000, parsed, "lines/s", least=True),
            Target(f"hrdsl check, {name}", 10_000, checked, "lines/s", least=True),
        ]
    report.print()


if __name__ == "__main__":
    main()
