"""Random programs: whole files with cells, branches, stages, routes, heads and constraints.

About two thirds have an architecture for every choice. In the others something does not fit: widths, strides, windows,
groups and heads are drawn with slips. Nothing says which they are; `network` and the compiler do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from .program_parts import ACTIVATIONS, BRANCHES, EVERY, HALVING, STD


@dataclass
class Cell:
    """A cell being written: its entries, the names of flows and their widths, its decisions."""

    lines: list[str] = field(default_factory=list)
    flows: list[tuple[str, str]] = field(default_factory=list)
    truths: list[str] = field(default_factory=list)
    called: set[str] = field(default_factory=set)
    """Cells that the current entry uses: each once, so that paths carry no numbers."""


class Writer:
    """Draws one program."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.slips = 0.1 if rng.random() < 0.5 else 0.0
        self.cells: dict[str, str] = {}
        self.written: dict[str, str] = {}
        self.open: list[str] = []
        """Decisions that a constraint may name, as conditions."""
        self.numbers: dict[str, tuple[int, ...]] = {}
        """Decisions over numbers, with their values."""

    def pick(self, items: Sequence[str]) -> str:
        return self.rng.choice(items)

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def slip(self, good: str, bad: Sequence[str]) -> str:
        """What fits, or by a slip what may not."""
        return self.pick(bad) if self.chance(self.slips) else good

    # cells

    def kernel(self) -> str:
        return self.slip(self.pick(("1", "3", "k", "k")), ("2", "k + 1", "k // 2", "e"))

    def cell(self, name: str) -> str:
        """A cell with a width: any map of its size -> `width` channels."""
        at = Cell(flows=[("x", "x.width")])
        at.lines = ["k in " + self.slip(self.pick(("{1, 3}", "{3, 5}", "1..5 step 2")), ("{1, 2}", "1..4", "{3, 4}"))]
        at.lines += ["e in {1, 2}"] if self.chance(0.4) or self.slips else []
        at.lines += ["yes in {true, false}"] if self.chance(0.5) else []
        at.truths = ["x.width == width", "x.stride >= 2", "k == 3", "width > 4"]
        at.truths += ["yes", "not yes or k == 1"] if "yes in {true, false}" in at.lines else []
        for i in range(self.rng.randint(0, 2)):
            width = self.pick(("width", "x.width", "8", "width / 2", "4 * k"))
            at.called = set()
            flow = self.flow(at, width, 2)
            at.lines.append(f"f{i} = {flow}")
            at.flows.append((f"f{i}", width))
        at.called = set()
        at.lines.append(f"out = {self.flow(at, 'width', 3)}")
        body = "\n".join(f"  {line}" for line in at.lines)
        parameters = self.pick(("width", "width", "width, ratio = 1/2"))
        return f"cell {name}({parameters}) {{\n{body}\n}}\n"

    def source(self, at: Cell) -> str:
        return self.pick([name for name, _ in at.flows])

    def flow(self, at: Cell, width: str, depth: int) -> str:
        """A flow of this width, at the size of `x`."""
        same = [name for name, w in at.flows if w == width]
        if depth == 0 or self.chance(0.15):
            return self.pick(same) if same and self.chance(0.5) else self.convolved(at, width)
        forms: tuple[Callable[[Cell, str, int], str], ...] = (
            self.convolved,
            self.summed,
            self.conditional,
            self.joined,
            self.weighted,
            self.repeated,
            self.attended,
            self.resized,
            self.optional,
            self.listed,
            self.tokens,
            self.split,
            self.another,
        )
        return self.rng.choice(forms)(at, width, depth - 1)

    def convolved(self, at: Cell, width: str, depth: int = 0) -> str:
        x = self.flow(at, self.pick(("8", "width", "x.width")), depth) if depth > 1 else self.source(at)
        groups = self.pick(("", "", "", ", groups = 2", ", dilation = 2", ", bias = true"))
        if groups == ", groups = 2":
            x, groups = f"({x} -> conv(1, 8))", self.slip(groups, (", groups = 3", ", groups = k"))
            width = width if width != "width / 2" else "width"
            if self.chance(0.8):
                return f"({x} -> conv({self.kernel()}, 8{groups}) -> conv(1, {width}))"
        stride = self.slip("", (", 2", ", stride = k", ', padding = "valid"'))
        wide = self.slip(width, ("width + 1", "width / 8", "2 * k", "6"))
        first = self.pick(("", "", f"depthwise({self.kernel()}) -> ", f"{self.pick(ACTIVATIONS)} -> "))
        tail = self.pick(("", "", " -> relu", " -> bn -> relu", f" -> {self.pick(ACTIVATIONS)}"))
        return f"({x} -> {first}conv({self.kernel()}, {wide}{stride}{groups}){tail})"

    def summed(self, at: Cell, width: str, depth: int) -> str:
        a, b = self.flow(at, width, depth), self.flow(at, self.slip(width, ("8", "x.width")), depth)
        return self.pick((f"({a} + {b})", f"([{a}, {b}] -> sum)", f"sum({a}, {b})", f"({a} * {b})"))

    def conditional(self, at: Cell, width: str, depth: int) -> str:
        a, b = self.flow(at, width, depth), self.flow(at, self.slip(width, ("8", "x.width", "e * 4")), depth)
        return f"(if {self.pick(at.truths)} then {a} else {b})"

    def joined(self, at: Cell, width: str, depth: int) -> str:
        parts = ", ".join(self.flow(at, self.pick(("8", "x.width")), depth) for _ in range(self.rng.randint(1, 3)))
        return f"([{parts}] -> concat -> conv(1, {width}))"

    def weighted(self, at: Cell, width: str, depth: int) -> str:
        inner = self.pick(("4", "width", "8 -> relu".split(" ")[0]))
        one = self.slip(self.pick((width, "1")), ("k", "2", "x.width"))
        x = self.flow(at, width, depth)
        return f"({x} * ({self.source(at)} -> global_pool -> linear({inner}) -> relu -> linear({one}) -> sigmoid))"

    def repeated(self, at: Cell, width: str, depth: int) -> str:
        body = self.pick((f"conv({self.kernel()}, {width})", f"conv(1, {width}) -> relu", "relu"))
        times = self.pick(("2", "e", "k - 1")) if "e in {1, 2}" in at.lines else self.pick(("1", "2", "(k - 1) / 2"))
        return f"({self.flow(at, width, depth)} -> repeat({body}, times = {times}))"

    def attended(self, at: Cell, width: str, depth: int) -> str:
        x = self.flow(at, "8", depth)
        heads = self.slip(self.pick(("1", "2", "4")), ("3", "k", "5"))
        k, v = self.slip("8", ("12", "4 * k")), self.slip("8", ("12", "6"))
        s = self.source(at)
        return f"(attention({x}, {s} -> conv(1, {k}), {s} -> conv(1, {v}), heads = {heads}) -> conv(1, {width}))"

    def resized(self, at: Cell, width: str, depth: int) -> str:
        x, s = self.flow(at, width, depth), self.source(at)
        smaller = self.pick(
            (
                *("max_pool", "average_pool", "max_pool(3, 2)", "rescale(1/2)", "rescale(2/3)"),
                *("conv(3, 8, 2)", 'conv(2, 8, 2, padding = "valid")'),
            )
        )
        smaller = self.slip(
            smaller, ("max_pool(k + 1)", 'conv(9, 8, padding = "valid")', "average_pool(k) -> conv(4, 8)")
        )
        if width in ("8", "x.width") or "pool" in smaller:
            x = f"({s} -> {smaller} -> conv(1, {width}) -> resize({self.slip(s, (x,))}))"
            return x
        return f"({x} -> max_pool(3, 2) -> up_conv(2, {width}) -> resize({s}))"

    def optional(self, at: Cell, width: str, depth: int) -> str:
        a, b = self.flow(at, width, depth), self.flow(at, width, depth)
        return f"([{a}, if {self.pick(at.truths)} then {b} else none] -> sum)"

    def listed(self, at: Cell, width: str, depth: int) -> str:
        n = self.rng.randint(1, 3)
        own = self.slip(width, ("width + i", "4 * i + 4", "8"))
        return self.pick(
            (
                f"([{self.source(at)} -> conv({self.kernel()}, {own}) for i in range({n})] -> sum)",
                f"([{self.source(at)} -> conv(1, 2 + i) for i in range({n + 1}) if i != 1] -> concat -> conv(1, {width}))",
                f"([x -> conv(1, {own}) for i in range(2) for j in range(i + 1) if i + j != 1] -> sum)",
            )
        )

    def tokens(self, at: Cell, width: str, depth: int) -> str:
        x = self.flow(at, "8", depth)
        return f"({x} -> to_tokens -> ln -> linear({width}) -> to_map({self.slip('x', ('x -> max_pool',))}))"

    def split(self, at: Cell, width: str, depth: int) -> str:
        parts = self.slip(self.pick(("2", "4")), ("3", "5"))
        return f"({self.flow(at, '8', depth)} -> split({parts}, {self.rng.randint(0, 1)}) -> conv(1, {width}))"

    def another(self, at: Cell, width: str, depth: int) -> str:
        free = [c for c in (*self.written, "around", "two", "skip") if c not in at.called]
        if not free:
            return self.convolved(at, width)
        name = self.pick(free)
        at.called.add(name)
        if name == "two":
            if "first_and_last" in at.called:
                return self.convolved(at, width)
            at.called.add("first_and_last")
            return f"({self.source(at)} -> two({width}) -> first_and_last)"
        if name == "around":
            inner = self.pick((f"conv({self.kernel()}, {width})", f"conv(1, {width}) -> relu", "depthwise(3)"))
            return f"({self.source(at)} -> around({inner}, {width}))"
        return f"({self.flow(at, width, depth)} -> {name}({width}))"

    # the space

    def program(self) -> str:
        for name in ("a", "b", "c")[: self.rng.randint(0, 3)]:
            self.written[name] = self.cell(name)
        space = "\n".join(self.space())
        uses = "\n".join(f"use std.{name}" for name in ("blocks", "compose", "fusion", "heads"))
        return f"hrdsl 1\n\n{uses}\n\n{space}\n{EVERY}\n" + "\n".join(self.written.values())

    def space(self) -> list[str]:
        count = self.rng.randint(1, 3)
        side = self.pick(("16", "8", "17", "12"))
        half = self.chance(0.5)
        rows = ["space s(classes = 3, base = 4) {", f"  input = [3, {side}, 16]"]
        if half or self.chance(0.5):
            rows += [f"  stem = blocks.conv_bn_relu(3, width = {self.pick(('4', '8'))}, stride = {2 if half else 1})"]
        first = 2 if half else 1
        for i, name in enumerate(BRANCHES[:count]):
            rows += [f"  branch {name} at 1/{first << i} {{ {self.width(name)} }}"]
        if self.chance(0.4):
            rows += [
                f"  kernel {self.pick(('= 3', 'in {1, 3}', 'in {3, 5}', 'in {1, 3} per branch', 'in {3, 5} per cell'))}"
            ]
        if self.chance(0.15):
            rows += self.routed(BRANCHES[:count])
        else:
            rows += self.staged(BRANCHES[:count])
        rows += self.ends(any(row.startswith("    open in") for row in rows))
        rows += self.demands()
        return [*rows, "}"]

    def width(self, name: str) -> str:
        domains = {"in {4, 8}": (4, 8), "in 4..12 step 4": (4, 8, 12), "in [4 * k for k in range(1, 3)]": (4, 8)}
        domain = self.pick(("= 8", "= 2 * base", *domains))
        if domain in domains:
            self.numbers[f"{name}.width"] = domains[domain]
        return f"width {domain}"

    def staged(self, branches: tuple[str, ...]) -> list[str]:
        rows = []
        known = 0
        for i in range(self.rng.randint(len(branches), 3)):
            known = min(len(branches), max(known, self.rng.randint(1, len(branches))))
            if i >= 3 - len(branches):
                known = min(len(branches), max(known, i + 1 - (3 - len(branches))))
            on = [b for k, b in enumerate(branches[:known]) if k == known - 1 or self.chance(0.8)]
            rows += self.stage(f"s{i}", on)
        return rows

    def stage(self, name: str, on: list[str]) -> list[str]:
        rows = [f"    {self.candidates(name, on)}", *(f"    {t}" for t in self.times(name, on))]
        if self.chance(0.7):
            rows += [f"    fuse {self.fuse(name)}"]
        if self.chance(0.1):
            rows += ["    enter = coarsest"] if name != "s0" else []
        return [f"  stage {name} on {', '.join(on)} {{", *rows, "  }"]

    def fuse(self, stage: str) -> str:
        rules = ("fusion.exchange", "fusion.gated_exchange", "fusion.neighbours", "near", "blend", "none")
        rules += (
            (f"blend -> skip(width = {self.slip('to.width', ('8',))})".replace("to.width", "8"),) if self.slips else ()
        )
        if self.chance(0.2):
            a, b = self.rng.sample(("fusion.exchange", "blend", "near", "none"), 2)
            return f"in {{{a}, {b}}}{self.pick(('', ' per branch'))}"
        return f"= {self.pick(rules)}"

    def times(self, stage: str, on: list[str]) -> list[str]:
        kind = self.rng.randint(0, 5)
        if kind == 0:
            return [f"times = [{', '.join(str(self.rng.randint(1, 2)) for _ in on)}]"]
        if kind == 1:
            domain, self.numbers[f"{stage}.times"] = self.rng.choice(
                (("1..2", (1, 2)), ("{1, 3}", (1, 3)), ("0..1", (0, 1)))
            )
            return [f"times in {domain}"]
        if kind == 2:
            fixed = on[:1] if self.chance(0.3) else []
            self.numbers |= {f"{stage}.{b}.times": (1, 2) for b in on if b not in fixed}
            return ["times in 1..2 per branch", *(f"{b}.times = {self.rng.randint(1, 2)}" for b in fixed)]
        if kind == 3:
            return self.rng.choice((["times = 2"], ["rounds = 2"], ["times = 2", "rounds = 2"]))
        if kind == 4 and len(on) == 2:
            return ["times in {[1, 2], [2, 1]}"]
        return []

    def candidates(self, stage: str, on: list[str]) -> str:
        pool = [
            *self.written,
            *self.written,
            *STD,
            "conv",
            "around(conv(3, width))",
            "skip",
            "plain",
            "compose.maybe(depthwise(3))",
        ]
        some = list(dict.fromkeys(self.pick(pool) for _ in range(self.rng.randint(1, 3))))
        per = self.pick(("", " per branch", " per cell"))
        texts = [self.candidate(c, per) for c in some]
        if self.chance(0.1):
            a, b = self.pick(("plain", "skip")), self.pick(("blocks.residual", "conv(3)"))
            return f"cell = if {self.pick(('fine.width == 8', 'base > 2'))} then {a} else {b}"
        if self.chance(0.15):
            k = self.slip("{1, 3}", ("{1, 2}",))
            return f"cell = conv(size) -> {self.pick(('bn', 'relu', 'plain'))}\n    size in {k}{per}"
        if len(texts) == 1:
            return f"cell = {texts[0]}"
        labels = [c.split("(")[0].split(".")[-1] for c in some]
        places = {"": [f"{stage}.cell"], " per branch": [f"{stage}.{b}.cell" for b in on], " per cell": []}[per]
        self.open += [f'{place} == "{label}"' for place in places for label in labels]
        return f"cell in {{{', '.join(texts)}}}{per}"

    def candidate(self, name: str, per: str) -> str:
        own = self.pick(("", "", " per branch", " per cell"))
        if name == "conv":
            kernel = self.slip(self.pick(("{1, 3}", "{3, 5}")), ("{2, 3}", "1..3"))
            groups = self.slip("", (", groups = 3", ", stride = 2", ", groups in {1, 3}"))
            return f"conv(kernel in {kernel}{own}{groups})"
        if STD.get(name) and self.chance(0.5):
            return f"{name}(kernel in {self.slip('{1, 3}', ('{2, 3}', '{1, 4}'))}{own})"
        if name == "blocks.light_attention":
            return f"{name}(heads in {self.slip('{1, 2}', ('{1, 3}', '1..4'))}{own})"
        return name

    def routed(self, branches: tuple[str, ...]) -> list[str]:
        layers = self.rng.randint(len(branches), 4)
        cells = self.rng.sample(HALVING, self.rng.randint(1, 3)) + self.rng.choice(([], [], ["identity"]))
        cell = (
            f"in {{{', '.join(cells)}}}{self.pick((' per branch', ' per cell'))}" if len(cells) > 1 else f"= {cells[0]}"
        )
        open_ = self.pick(("open in {true, false} per branch", "open = true", ""))
        self.open += [f"paths.{b}.open" for b in branches] if " in " in open_ else []
        width = self.slip("stride * 4", ("4 * layer", "layer + 1"))
        rows = [f"    layers = {layers}", f"    cell {cell}", f"    width = {width}"]
        rows += [f"    {open_}"] if open_ else []
        rows += ["    down in subsets(range(1, layers), halvings) per branch"]
        rows = [f"  routes paths on {', '.join(branches)} {{", *rows, "  }"]
        if " in " in open_:
            rows += ["  require any([r.open for r in paths.branches])"]
        if len(branches) == 3 and layers == 4:
            rows += ["  require disjoint(paths.coarse.down, paths.low.down)"]
        return rows

    def ends(self, gaps: bool) -> list[str]:
        """The head, or heads; where routes may be closed, one that reads no size of a flow."""
        heads = ["means -> linear(classes)"]
        if gaps:
            return [f"  head = {heads[0]}"]
        heads += ["concat_all -> conv(1, width = classes)"]
        if self.slips == 0 or self.chance(0.8):
            heads += [
                "fusion.sum_up",
                "fusion.concat_up -> conv(3, width = classes, bias = true)",
                "heads.segmentation(classes)",
                "last",
            ]
        else:
            heads += ["concat -> conv(1, width = classes)", "sum"]
        if self.chance(0.15):
            two = self.pick((*heads, "twice", "none"))
            return ["  heads {", f"    one = {self.pick(heads)}", f"    two = {two}", "  }"]
        return [f"  head = {self.pick(heads)}"]

    def demands(self) -> list[str]:
        """Constraints and priors over what the program decides."""
        if not (self.numbers or self.open) or self.chance(0.6):
            return []
        rows = []
        if self.numbers:
            n, m = self.pick(list(self.numbers)), self.pick(list(self.numbers))
            forms = (f"{n} <= 8", f"sum([{n}, {m}]) >= 2", f"max({n}, {m}) >= 1", f"min([{n}, {m}]) <= 8")
            forms += (f"{n} <= {m} or {n} >= 2", f"not contains([{n}, {m}], 12)", f"distinct([{n}, 2 * {n} + 1])")
            rows += [f"  require {self.pick(forms)}"]
        if self.open:
            a, b = self.pick(self.open), self.pick(self.open)
            forms = (f"count([{a}, {b}, false]) <= 1", f"any([{a}, true])", f"all([not ({a}) or {b} or true])")
            rows += [f"  require {self.pick(forms)}"]
        rows += ["  require macs <= 1G and parameters >= 1"] if self.chance(0.3) else []
        if self.numbers and self.chance(0.3):
            name = self.pick(list(self.numbers))
            weights = ", ".join(f"{k}: {self.pick(('1', '1/2', '3'))}" for k in self.numbers[name])
            rows += [f"  prior {name} {{{weights}}}"]
        return rows


def program(seed: int) -> str:
    """The text of one program; equal seeds, equal programs."""
    return Writer(Random(seed)).program()
