"""Spaces for the benchmarks, made as text: branches x stages x cells with choices, gates, widths, kernels and depths."""

from pathlib import Path
from tempfile import TemporaryDirectory

PER_STAGE = 214
FIXED = 60
"""Nodes of one stage below, and of the rest: found by counting."""

HEAD = """hrdsl 1

use std.blocks
use std.fusion

space generated(classes = 11) {
  input = [3, 64, 64]
  stem = blocks.conv_bn_relu(3, stride = 2, width = 16)

  branch fine at 1/2 { width in {8, 12, 16} }
  branch middle at 1/4 { width in {16, 24, 32} }
  branch coarse at 1/8 { width in {32, 48, 64} }

  stage s0 on fine { cell = blocks.residual }
"""
STAGE = """
  stage s{k} on fine, middle, coarse {{
    cell in {{
      blocks.residual(kernel in {{3, 5}}),
      blocks.separable(kernel in {{3, 5, 7}}),
      blocks.inverted_residual(kernel in {{3, 5}}, expand in {{2, 4}})
    }} per branch
    times in {times} per branch
    fuse = fusion.gated_exchange
  }}
"""
SMALL = """
  # Stage {k}.
  stage s{k} on {branch} {{
    cell = blocks.residual(kernel in {{3, 5}})
  }}
"""
TAIL = """
  head = fusion.concat_up -> conv(1, width = classes, bias = true)
}
"""
LIMITS = """
  require coarse.width >= 3/2 * middle.width
  require macs <= 10G
}
"""
RUNS = """
train t{k} for generated {{
  sample = sandwich(random = 2)
  optimizer = adamw(lr = 3e-3, weight_decay = 1e-2)
  steps = 600
  batch = 16
}}

search f{k} for generated {{
  maximize miou
  minimize macs
  require macs <= 600M
  strategy = nsga2(population = 16, generations = 8)
}}
"""
CELL = """
## A wide and a narrow way, one beside the other.
cell ways{k}(width, kernel) {{
  hidden = width * ratio
  ratio in {{1/2, 1}}
  wide = x -> conv(1, hidden) -> bn -> relu -> conv(kernel, width) -> bn
  narrow = x -> depthwise(kernel) -> bn -> relu -> conv(1, width) -> bn
  out = wide + narrow -> relu
}}
"""


def generated(nodes: int, times: str = "1..3") -> str:
    """A space of about so many graph nodes."""
    stages = max(1, round((nodes - FIXED) / PER_STAGE))
    return HEAD + "".join(STAGE.format(k=k, times=times) for k in range(1, stages + 1)) + TAIL


def staged(lines: int) -> str:
    """A space of about so many lines: small stages on one branch after another."""
    start = STAGE.format(k=1, times="1..3")
    stages = (SMALL.format(k=k, branch=("fine", "middle", "coarse")[k % 3]) for k in range(2, lines // 5))
    return HEAD + start + "".join(stages) + TAIL


def file(lines: int = 150, limits: bool = True) -> str:
    """A file of so many lines as a person would write it: a space, its constraints (`limits`), cells of its own, runs."""
    stages = STAGE.format(k=1, times="1..2") + STAGE.format(k=2, times="1..3")
    text = HEAD + stages + (TAIL.rstrip().removesuffix("}") + LIMITS.lstrip("\n") if limits else TAIL)
    for k in range(lines):
        more = CELL.format(k=k) if k % 2 else RUNS.format(k=k)
        if text.count("\n") + more.count("\n") > lines:
            break
        text += more
    return text + "# The end.\n" * (lines - text.count("\n"))


def compiled(text: str):  # type: ignore[no-untyped-def]
    """A text as a compiled space."""
    from hrdsl.compiler.api import compile_file

    with TemporaryDirectory() as folder:
        path = Path(folder) / "generated.arch"
        path.write_text(text)
        return compile_file(path)
