"""Ten small spaces as text, each with at most 10,000 raw combinations: what the tests of decisions, costs and found networks share."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hrdsl.compiler.api import Compiled, compile_file, compile_module
from hrdsl.compiler.graph import Graph, Switch
from hrdsl.compiler.sym import Apply, Metric, at, deps
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.arch"))

SPACES = {
    "nested": """hrdsl 1

use std.blocks

## A choice within a choice within a choice.
cell mixer(width) {
  cell in {
    separable(kernel in {3, 5, 7}),
    attend(heads in {1, 2}),
    blocks.bottleneck(ratio in {1/4, 1/2}),
    identity,
  }
}

cell separable(width, kernel) {
  out = x -> depthwise(kernel) -> bn -> conv(1, width, bias = true)
}

cell attend(width, heads) {
  inner = x -> project(width)
  out = attention(inner, inner, inner, heads = heads) + x
}

cell project(width) {
  cell in {conv(1, width), conv(3, width, groups in {1, 2, 4})}
}

space nested {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch main at 1/2 { width = 8 }
  stage a on main { cell = mixer }
  stage b on main {
    cell in {project, blocks.residual(kernel in {1, 3})}
  }
  head = conv(1, width = 4)
}
""",
    "depth": """hrdsl 1

## One to three cells, each with three candidates: 3 + 9 + 27 = 39.
space depth {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch main at 1/2 { width = 8 }
  stage a on main {
    cell = pick
    times in 1..3
  }
  head = conv(1, width = 4)
}

cell pick(width) {
  kernel in {1, 3, 5}
  out = x -> conv(kernel, width) -> relu
}
""",
    "gates": """hrdsl 1

use std.blocks
use std.fusion

space gates {
  input = [3, 32, 32]
  stem = blocks.conv_bn_relu(3, width = 8, stride = 2)
  branch fine at 1/2 { width in {8, 16} }
  branch coarse at 1/4 { width in {8, 12, 16} }
  branch low at 1/8 { width = 8 }
  stage a on fine, coarse {
    cell in {blocks.residual, none_or_conv} per branch
    fuse = fusion.gated_exchange
  }
  stage b on fine, coarse, low { fuse = fusion.gated_exchange }
  head = last -> conv(1, width = 4)
}

cell none_or_conv(width) { out = x -> conv(1, width) }

## Only the finest flow reaches the output.
cell last() { out = x[0] }
""",
    "granularity": """hrdsl 1

space granularity {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  kernel in {1, 3} per branch
  branch fine at 1/2 { width in {4, 8} }
  branch coarse at 1/4 { width = 8 }
  stage a on fine {
    cell = conv(kernel, width) -> relu
    times = 2
  }
  stage b on fine, coarse {
    cell = conv(kernel, width) -> squeeze
    times in 1..2
    ratio in {1/4, 1/2, 1} per cell
  }
  head = merge -> conv(1, width = 4)
}

cell squeeze(width, ratio) {
  out = x -> conv(1, width * ratio) -> relu -> conv(1, width)
}

cell merge() { out = concat([x[0], x[1] -> resize(x[0])]) }
""",
    "ties": """hrdsl 1

use std.blocks
use std.fusion

space ties(classes = 5) {
  input = [3, 32, 32]
  base in 4..12 step 4
  kernel in {3, 5}
  stem = blocks.conv_bn_relu(3, width = base, stride = 2)
  branch fine at 1/2 { width = base }
  branch coarse at 1/4 { width = 2 * base }
  stage a on fine { cell = blocks.residual(kernel = kernel) }
  stage b on fine, coarse {
    cell in {blocks.residual(kernel = kernel), blocks.inverted_residual(expand in {2, 4})}
    times in 1..2
    fuse = fusion.exchange
  }
  stage c on fine, coarse {
    cell = if kernel == 3 then blocks.residual else blocks.separable
    fuse in {fusion.exchange, fusion.gated_exchange}
  }
  head = fusion.concat_up -> conv(1, width = classes, bias = true)
}
""",
    "relational": """hrdsl 1

use std.fusion

space relational {
  input = [3, 32, 32]
  stem = conv(3, width = 8, stride = 2)
  branch fine at 1/2 { width in 8..32 step 8 }
  branch coarse at 1/4 { width in {8, 12, 24, 32, 48, 64} }
  branch low at 1/8 { width in 16..64 step 16 }
  stage a on fine { cell = conv(3, width) }
  stage b on fine, coarse, low {
    cell = conv(3, width)
    times in {1, 3} per branch
  }
  head = fusion.concat_up -> conv(1, width = 4)
  require coarse.width >= 3/2 * fine.width
  require low.width >= coarse.width and low.width % 3 != 1
  require fine.width + coarse.width + low.width <= 120
}
""",
    "inactive": """hrdsl 1

use std.blocks

## The constraints read decisions that do not exist in every architecture.
space inactive {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch main at 1/2 { width = 8 }
  kernel in {3, 5, 7}
  stage a on main {
    size in {3, 5, 7}
    cell in {conv(size, width), pool}
  }
  stage b on main {
    cell in {conv(kernel, width), blocks.residual(kernel = 3), none_at_all}
    times in 1..2
  }
  stage c on main {
    cell = if a.cell == "pool" then conv(kernel, width) else conv(1, width)
    times in 0..1
  }
  head = conv(1, width = 4)
  require a.size <= kernel
  require c.times == 1 or a.size > 3
}

cell pool(width) { out = x -> conv(1, width) -> relu }

cell none_at_all() { out = x -> relu }
""",
    "priced": """hrdsl 1

use std.blocks

space priced {
  input = [3, 32, 32]
  stem = conv(3, width = 8, stride = 2)
  branch main at 1/2 { width in 8..24 step 8 }
  stage a on main {
    cell in {blocks.residual(kernel in {3, 5}), blocks.separable(kernel in {3, 5, 7})}
    times in 1..3
  }
  stage b on main {
    cell in {conv(1, width), conv(3, width)} per cell
    times in 1..2
  }
  head = conv(1, width = 4)
  require macs <= 4M and parameters >= 2000
  require peak_activation_bytes <= 60Ki
}
""",
    "dead": """hrdsl 1

use std.fusion

## Decisions under a closed gate, under depth 0, and in a branch that nothing reads.
space dead {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch fine at 1/2 { width = 8 }
  branch coarse at 1/4 { width in {8, 16} }
  branch lost at 1/8 { width in {8, 16} }
  stage a on fine, coarse {
    cell = bypassed
    times in 0..2 per branch
    coarse.times = 1
    fuse = fusion.gated_exchange
  }
  stage b on fine, coarse, lost {
    cell = if branch_stride < 8 then identity else conv(3, width)
  }
  head = finest -> conv(1, width = 4)
  branch_stride = 4
}

cell bypassed(width) {
  side = x -> optional(width)
  out = x + side
}

cell optional(width) {
  open in {false, true}
  kernel in {1, 3}
  out = if open then x -> conv(kernel, width) else none
}

cell finest() { out = x[0] }
""",
    "repeats": """hrdsl 1

## Repetition within a cell, truth values, conditions on decisions.
space repeats {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch main at 1/2 { width = 8 }
  wide in {true, false}
  stage a on main { cell = tower(depth in 0..2) }
  stage b on main { cell = tower(depth in {1, 3}) }
  head = conv(1, width = 4)
  stage c on main {
    final in {0, 1, 2}
    cell = if final == 2 then conv(1, width) else repeat(relu, times = 1 + final)
  }
  require wide or c.final != 1
}

cell tower(width, wide, depth) {
  act in {true, false}
  inner = if wide then 2 * width else width
  body = x -> conv(1, inner) -> repeat(layer(inner), times = depth)
  out = (if act then body -> relu else body -> gelu) -> conv(1, width)
}

cell layer(width) {
  kernel in {1, 3}
  out = x -> conv(kernel, width)
}
""",
}


def compile_text(text: str, name: str = "space.arch", space: str | None = None) -> Compiled:
    """A text as a compiled space; relative `use` finds nothing."""
    return compile_module(load_source(Source(name, text)), space)


def compile_space(name: str) -> Compiled:
    return compile_text(SPACES[name], f"{name}.arch")


def compile_example(path: Path) -> Compiled:
    return compile_file(path)


class Reference:
    """What a genome means, said again without the compiler: nodes are resolved on demand from the output."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parts: dict[Any, int] = {}
        self.seen: dict[Any, int] = {}

    def resolve(self, genes: Sequence[int]) -> tuple[dict[int, tuple[int, ...]], dict[int, int | None]]:
        """The live nodes with the live nodes they read, switches seen through; and what each visited node resolves to."""
        homes: dict[int, int | None] = {}
        live: dict[int, tuple[int, ...]] = {}

        def visit(i: int) -> int | None:
            if i not in homes:
                homes[i] = find(i)
            return homes[i]

        def find(i: int) -> int | None:
            node = self.graph.nodes[i]
            if isinstance(node.op, Switch):
                source = node.inputs[at(node.op.select, genes)]
                return None if source is None else visit(source)
            read = [None if k is None else visit(k) for k in node.inputs]
            given = tuple(k for k in read if k is not None)
            missing = len(given) < len(read) if node.op.inputs is not None else bool(read) and not given
            if missing:
                return None
            live[i] = given
            return i

        needed = visit(self.graph.output)
        keep: set[int] = set()
        todo = [] if needed is None else [needed]
        while todo:
            i = todo.pop()
            if i not in keep:
                keep.add(i)
                todo += live[i]
        return {i: live[i] for i in sorted(keep)}, homes

    def network(self, genes: Sequence[int]) -> tuple[Any, ...]:
        """The network as a value: equal for equal networks over the same shared weights."""
        live, _ = self.resolve(genes)
        return tuple((i, self._part(i, genes), read) for i, read in live.items())

    def _part(self, i: int, genes: Sequence[int]) -> int:
        node = self.graph.nodes[i]
        key = (i, *(genes[d.index] for d in node.deps))
        if key not in self.seen:
            settings = tuple(at(v, genes) for v in node.op.settings().values())
            weights = tuple((w.name, tuple(a.runs(genes) for a in w.axes)) for w in node.weights)
            part = (node.name, tuple(map(repr, settings)), weights)
            self.seen[key] = self.parts.setdefault(part, len(self.parts))
        return self.seen[key]

    def raw(self) -> "product[tuple[int, ...]]":
        return product(*(range(len(d)) for d in self.graph.decisions))

    def classes(self) -> dict[tuple[Any, ...], list[tuple[int, ...]]]:
        """Every raw combination, by the network it means; the first of each class is its smallest."""
        found: dict[tuple[Any, ...], list[tuple[int, ...]]] = {}
        for genes in self.raw():
            found.setdefault(self.network(genes), []).append(genes)
        return found

    def active(self, genes: tuple[int, ...], decision: int) -> bool:
        """Whether another value of one decision alone would give another network."""
        return any(
            self.network((*genes[:decision], k, *genes[decision + 1 :])) != self.network(genes)
            for k in range(len(self.graph.decisions[decision]))
        )

    def feasible(self, compiled: Compiled, genes: tuple[int, ...]) -> bool:
        """Whether a canonical genome meets each `require` all of whose decisions exist."""
        costs = compiled.costs.one(genes)
        for c in self.graph.constraints:
            exist = all(self.active(genes, d.index) for d in deps(c.condition))
            if exist and not evaluate(c.condition, genes, costs):
                return False
        return True


def evaluate(value: Any, genes: Sequence[int], costs: dict[str, int]) -> Any:
    """A value that may name costs."""
    if isinstance(value, Metric):
        return costs[value.name]
    if isinstance(value, Apply):
        a = [evaluate(v, genes, costs) for v in value.args]
        words = {
            "and": lambda: all(a),
            "all": lambda: all(a),
            "or": lambda: any(a),
            "not": lambda: not a[0],
            "<=": lambda: a[0] <= a[1],
            ">=": lambda: a[0] >= a[1],
            "<": lambda: a[0] < a[1],
            ">": lambda: a[0] > a[1],
            "==": lambda: a[0] == a[1],
            "!=": lambda: a[0] != a[1],
            "+": lambda: a[0] + a[1],
            "-": lambda: a[0] - a[1],
            "*": lambda: a[0] * a[1],
        }
        return words[value.function]()
    return at(value, genes)
