"""What the constructs and the functions of the language mean: for `hrdsl explain`. Data only; a test compiles every example.

`place` says where the example stands: it is cells of which the last is applied (`cells`), or lines at the top level
(`items`), or lines of a `space`, `branch`, `stage`, `head`, `cell` or `search`. `section` is that of SPEC.md.
"""

from typing import NamedTuple


class Construct(NamedTuple):
    """One construct: its title, its meaning, an example, where SPEC.md says more, and other words for it."""

    title: str
    meaning: str
    place: str
    example: str
    section: int
    also: tuple[str, ...] = ()


class Use(NamedTuple):
    """What a function does in full, and an example; its title stands in `compiler/functions.py`."""

    meaning: str
    place: str
    example: str


FUNCTION_SECTION = 6
"""Where SPEC.md lists the functions."""

CONSTRUCTS: dict[str, Construct] = {
    # files
    "hrdsl": Construct(
        "the first line of a file: the edition of the language",
        "Every file begins with `hrdsl 1`; comments and blank lines may stand before it. A later compiler reads the "
        "file by the rules of that edition.",
        "cells",
        "hrdsl 1\n\ncell plain(width) { out = x -> conv(3, width) }",
        2,
    ),
    "comment": Construct(
        "comments and documentation",
        "`#` begins a comment, which ends with the line. A line that begins with `##` is documentation: it stands alone "
        "before a block or an entry and belongs to it. `hrdsl explain FILE.arch:CELL` shows the documentation of a cell.",
        "cells",
        "## Two convolutions in a row.\ncell double(width) {\n  out = x -> conv(3, width) -> conv(3, width)  # no activation\n}",
        1,
        ("#", "##", "documentation"),
    ),
    "number": Construct(
        "exact numbers with suffixes",
        "Numbers are exact: 0.1 is one tenth. `k`, `M`, `G`, `T` multiply by powers of 1000; `Ki`, `Mi`, `Gi` are bytes "
        "in powers of 1024; `us`, `ms`, `s` are times. Plain numbers, bytes and times are not compared with each other. "
        "`_` may stand between digits.",
        "space",
        "require macs <= 0.5G and peak_activation_bytes <= 8Mi",
        1,
        ("suffix", "unit"),
    ),
    "use": Construct(
        "make the cells of another file reachable",
        "`use a.b` makes the cells of a/b.arch, below the folder of the file, reachable as `b.NAME`; with `as c` as "
        "`c.NAME`. `std` is the standard library, and an installed package may add modules of its own. Only cells are "
        "reached; no file outside these folders is read, and nothing is executed.",
        "items",
        "use std.heads as ends\n\nspace s {\n  input = [3, 32, 32]\n  head = ends.fcn(classes = 10, width = 16)\n}",
        3,
        ("as", "module"),
    ),
    # blocks
    "space": Construct(
        "a set of architectures",
        "A space says what passes the input (`input`, `stem`), which branches there are, which stages run on them and "
        "how the flows become the output (`head`). `=` fixes an entry, `in` leaves it to the search. Parameters need a "
        "default; the option `--set` gives them other values. A space without any `in` is a network.",
        "items",
        "space s(classes = 10) {\n  input = [3, 32, 32]\n  stem = conv(3, width in {8, 16}) -> bn -> relu\n"
        "  head = conv(1, width = classes)\n}",
        9,
    ),
    "cell": Construct(
        "a part of a network, from flows to flows",
        "The block `cell NAME(parameters) { ... }` declares a part of a network: `x` is what flows in, the entry `out` "
        "(or `cell`) is the result. It sees its parameters, its own entries and `x`, nothing of the place that uses it. "
        "The entry `cell` of a stage or of `routes` says which cell the flow of each branch passes; it may also stand "
        "in the branch or in the space.",
        "cells",
        "cell bottleneck(width, ratio = 4) {\n  inner = x -> conv(1, width // ratio) -> bn -> relu\n"
        "  out = x + (inner -> conv(3) -> conv(1, width))\n}",
        7,
    ),
    "out": Construct(
        "the result of a cell",
        "Every cell has an entry `out`, or else `cell`. `x` is what flows in: a flow, or a list of flows. The result is "
        "a flow, a list of flows or `none`; if it is a cell, that cell is applied to `x`.",
        "cell",
        "body = x -> conv(3, width = 16) -> bn\nout = body -> relu",
        7,
        ("x",),
    ),
    "branch": Construct(
        "a line of flows at one resolution",
        "`branch NAME at 1/p { ... }` declares a branch with stride p: its maps are p times smaller than the input. "
        "Its `width` is what cells and fusions find by this name; other entries are constants or decisions that its "
        "cells may read. Branches are ordered as in the text.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32} }",
        9,
    ),
    "at": Construct(
        "the resolution of a branch",
        "`at 1/4` gives a branch the stride 4 relative to the input. After entering a stage, after its cells and after "
        "fusion its flow has to be at that stride.",
        "branch",
        "branch coarse at 1/4 { width = 32 }",
        9,
    ),
    "stage": Construct(
        "a step of the network on some of its branches",
        "On each of the branches after `on`, the flow enters (`enter`), passes the `cell`, `times` times, and is then "
        "fused with the others (`fuse`). Each of these entries may also stand in the branch or in the space. A list "
        "gives one value to each branch. Branches that a stage does not name pass by unchanged.",
        "space",
        "stage s3 on fine, coarse {\n  cell = blocks.residual\n  times = [1, 2]\n  fuse = fusion.exchange\n}",
        9,
    ),
    "on": Construct(
        "the branches of a stage",
        "The names after `on` are the branches that a stage or `routes` runs on. Their order is that of the list that "
        "`fuse` gets and of lists with one value for each branch.",
        "space",
        "stage s3 on coarse, fine {\n  cell = blocks.residual\n  times = [3, 1]\n}",
        9,
    ),
    "routes": Construct(
        "paths through layers and resolutions",
        "A stage of another kind. Each branch halves the resolution of the one before and is where one route ends. All "
        "routes start from the first branch and run through `layers` layers; `down` lists the layers in which a route "
        "halves, as many as its `halvings`; `open` says whether it is there; `cell` is the cell of a layer, `fuse` "
        "joins the last flows of a route at each stride, which heads find as `paths.low.passed`. Routes share what they have "
        "in common.",
        "items",
        "cell ends() { out = [flow -> global_pool -> linear(10) for flow in x] -> sum }\n\n"
        "space s {\n  input = [3, 32, 32]\n  stem = conv(3, width = 8)\n  branch high at 1/1 {}\n  branch low at 1/2 {}\n"
        "  routes paths on high, low {\n    layers = 4\n    open in {true, false} per branch\n"
        "    down in subsets(range(1, layers), halvings) per branch\n    cell in {identity, conv(3)} per cell\n"
        "    width = 8 * stride\n  }\n  head = ends\n  require any([route.open for route in paths.branches])\n}",
        9,
        ("layers", "layer", "down", "halvings", "open"),
    ),
    "heads": Construct(
        "several outputs of one network",
        "`heads { ... }` stands in a space instead of `head`. Each entry is a head of its own over the flows of all "
        "branches, and the network returns a dictionary of their results: a tensor, or a list where the head gives several "
        "flows. A head that is `none` is left out. Training takes spaces of one head.",
        "items",
        "space s(classes = 4) {\n  input = [3, 32, 32]\n  stem = conv(3, width = 8) -> bn -> relu\n  heads {\n"
        "    labels = conv(1, width = classes)\n    edges = conv(1, width = 1) -> sigmoid\n  }\n}",
        9,
    ),
    "train": Construct(
        "how weights are trained",
        "`train NAME for SPACE { ... }` holds the settings of training: data, optimiser, steps and which architectures "
        "a step trains. They serve the supernet of the space and any found network. Values are constants.",
        "items",
        "space s {\n  input = [3, 64, 64]\n  head = conv(kernel in {3, 5}, width = 11)\n}\n\n"
        "train warm for s {\n  sample = sandwich(random = 2)\n  steps = 600\n}",
        19,
    ),
    "search": Construct(
        "what is searched for",
        "`search NAME for SPACE { ... }` holds the goals (`maximize`, `minimize`), constraints that hold for this "
        "search alone (`require`) and the settings of the strategy. Without goals it maximises `miou` and minimises "
        "`macs`.",
        "items",
        "space s {\n  input = [3, 64, 64]\n  head = conv(kernel in {3, 5}, width = 11)\n}\n\n"
        "search front for s {\n  maximize miou\n  minimize parameters\n  strategy = nsga2(population = 16)\n}",
        19,
    ),
    # entries
    "input": Construct(
        "the size of the input",
        "`input = [channels, height, width]` is required in a space. It is fixed, but may use parameters of the space. "
        "Costs are those of one sample of this size.",
        "items",
        "space s(size = 64) {\n  input = [3, size, size]\n  head = conv(1, width = 10)\n}",
        9,
    ),
    "stem": Construct(
        "what the input passes first",
        "An entry of a space: a cell between the input and the branches. Without it, the input itself is the first "
        "flow. Branches that have no flow yet grow from what is there.",
        "items",
        "space s {\n  input = [3, 32, 32]\n  stem = conv(3, width = 16, stride = 2) -> bn -> relu\n"
        "  head = conv(1, width = 10)\n}",
        9,
    ),
    "head": Construct(
        "what turns the flows into the output",
        "Required in a space, unless there is `heads`: a cell over the list of the flows of all branches that have run, "
        "in the order of the branches. In a space without stages it gets the single flow.",
        "head",
        "head = fusion.concat_up -> conv(1, width = classes, bias = true)",
        9,
    ),
    "width": Construct(
        "the number of channels",
        "In a branch, the number of channels that cells and fusions find by this name; a parameter `width` of a cell "
        "and the setting `width` of an operator take it where they are given no other. The flow of a branch may have "
        "another width: `flow.width` is what it has.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32} }",
        9,
    ),
    "times": Construct(
        "how often the cell of a stage is applied",
        "An entry of a stage: the cell is applied this often in a row, each time with weights of its own; 1 without it. "
        "Where it is searched, the first cells of the largest number are taken, and decisions of the cells beyond are "
        "absent. A list gives one value to each branch.",
        "stage",
        "cell = blocks.residual\ntimes in 1..3",
        9,
    ),
    "rounds": Construct(
        "how often the cells and the fusion of a stage are done in turn",
        "An entry of a stage, fixed; 1 without it. In each round every branch passes its cells, then all are fused. "
        "The cells are counted on: with `times = 2`, the first cell of the second round is `s2.fine[3]`.",
        "stage",
        "cell = blocks.residual\ntimes = 2\nrounds = 3",
        9,
    ),
    "enter": Construct(
        "how a branch gets its flow at the beginning of a stage",
        "An entry of a stage: a cell over the list of all flows before the stage. It is evaluated once for each branch, "
        "with `to`, the branch that the result is for. Without it a branch goes on with its flow; one that has none yet "
        "grows from the flow with the largest stride.",
        "space",
        "stage s3 on fine, coarse {\n  enter = fusion.exchange\n  cell = blocks.residual\n}",
        9,
        ("growth",),
    ),
    "fuse": Construct(
        "how the branches of a stage exchange what they found",
        "An entry of a stage: a cell over the list of the flows of its branches, evaluated once for each branch, with "
        "`to`, the branch that the result is for. Without it, or with `none`, each flow stays as it is. `std.fusion` "
        "has the rules of the field.",
        "space",
        "stage s3 on fine, coarse {\n  cell = blocks.residual\n  fuse = fusion.neighbours(reach = 1)\n}",
        9,
    ),
    "to": Construct(
        "the branch that a fusion is for",
        "`enter` and `fuse` are evaluated once for each branch and give that branch to the cell as `to`: `to.width`, "
        "`to.stride`, `to.name`. A cell that wants it declares it as a parameter.",
        "items",
        "cell own(to) {\n  flows = [flow for flow in x if flow.stride == to.stride]\n"
        "  out = flows -> sum -> conv(1, to.width)\n}\n\n"
        "space s {\n  input = [3, 32, 32]\n  branch fine at 1/1 { width = 8 }\n"
        "  stage s1 on fine { fuse = own }\n  head = concat\n}",
        9,
    ),
    # decisions
    "=": Construct(
        "decide",
        "`name = value` says that the author decided. The value is an expression over names in scope; it may depend on "
        "decisions. An entry is evaluated when it is first read. `==` compares.",
        "stage",
        "cell = blocks.conv_bn_relu(kernel)\nkernel = 5",
        10,
        ("fix",),
    ),
    "in": Construct(
        "leave a decision to the search",
        "`name in domain` opens a decision over the values of an ordered finite list. It stands as an entry of a space, "
        "a branch, a stage or a cell, or as an argument of a call. It belongs to the place where it is written and is "
        "one decision wherever it is read from there; `per branch` and `per cell` make it finer, and each use of a cell "
        "has the decisions of the cell for itself.",
        "stage",
        "cell in {blocks.residual, blocks.separable(kernel in {3, 5})}\ntimes in 1..3",
        10,
        ("decision", "vary"),
    ),
    "domain": Construct(
        "the values that a decision chooses from",
        "`{a, b}` lists numbers, truths, texts, lists of one length, or cells and `none`; `1..9 step 2` holds whole "
        "numbers with both ends; an expression whose value is a fixed list is a domain too. No value stands twice. "
        "Each value has a label: a number as written out, a cell by its name.",
        "stage",
        "cell = blocks.conv_bn_relu(kernel)\nkernel in 1..7 step 2\ntimes in [2 * k for k in range(2)]",
        10,
        ("..", "step", "label", "{}"),
    ),
    "per": Construct(
        "one decision for each branch, or for each cell",
        "Stands behind the domain of an entry of a space, a branch or a stage, or of an argument there. `per branch` makes one decision for each branch "
        "of each stage that reads it, `per cell` one for each use of the stage's cell. Without it there is one decision "
        "in all. `times`, `enter` and `fuse` cannot be finer than a branch.",
        "stage",
        "cell in {blocks.residual, blocks.conv_bn_relu(kernel)} per branch\nkernel in {3, 5} per cell",
        10,
    ),
    "path": Construct(
        "the name of a decision",
        "A decision is called by the place it belongs to, then its own name: `s2.times`, `s2.fine.cell`, "
        "`s2.fine[1].kernel` for the first cell of the branch. Paths name decisions in overrides, constraints, "
        "messages and the option `--arch`; they do not depend on layout or on entries elsewhere. `hrdsl compile FILE` "
        "lists them.",
        "space",
        's2.cell in {blocks.residual, blocks.separable} per branch\nrequire s2.fine.cell == "residual"',
        10,
        ("paths", "place"),
    ),
    "override": Construct(
        "set a name at a place inside",
        "An entry whose target has dots: in a stage it is relative to the stage, in a space it begins at the top. It "
        "fixes with `=` or opens a decision with `in`, and wins over the entry that it stands in for. So a part of a "
        "space is closed or narrowed without being written anew.",
        "stage",
        "cell = blocks.conv_bn_relu(kernel)\nkernel in {3, 5, 7} per cell\ntimes = 2\n"
        "fine[1].kernel = 3\ncoarse[2].kernel in {3, 5}",
        11,
        ("overrides",),
    ),
    "architecture": Construct(
        "one network of a space, without its weights",
        "An architecture gives a value to every decision that matters. A decision behind a closed gate, in a cell "
        "beyond the chosen depth or of an alternative that was not taken is absent, and multiplies nothing: counting, "
        "sampling and the search are over networks that differ. Its genome is the list of indices of the values.",
        "stage",
        "cell = conv(kernel in {3, 5} per cell)\ntimes in 0..2  # 1 + 4 + 16 architectures on two branches",
        12,
        ("genome", "active", "canonical"),
    ),
    "require": Construct(
        "a constraint on architectures",
        "`require condition` is a part of the space; in a `search` it holds for that search. The condition is over "
        "decisions and costs, named by their paths. It holds wherever an architecture is made. A part of it that reads "
        "an absent decision does not apply. If no architecture is left, the message shows which constraints exclude "
        "each other.",
        "space",
        "s2.times in 1..3\nrequire s2.times >= 2 or macs <= 50M",
        13,
        ("constraint",),
    ),
    "prior": Construct(
        "how often sampling draws what",
        "`prior quantity {value: weight, ...}` gives each value of a decision, or of an expression over decisions, a "
        "weight; 0 leaves a value out. Sampling draws the quantities first, then uniformly among the architectures with "
        "these values. In a cell it holds for each use. Counts and numbers of architectures know no priors.",
        "space",
        "s2.times in 1..3\nprior s2.times {1: 1/2, 2: 1/4, 3: 1/4}",
        12,
    ),
    "costs": Construct(
        "the costs of an architecture",
        "`macs` counts multiply-accumulates of one sample, `parameters` learned numbers, `peak_activation_bytes` the "
        "most memory that activations take at one time, at batch 1 and 4 bytes a number. All are exact. A branch of the "
        "space has `fine.macs` and `fine.parameters`, those of its operations; the stem and heads belong to none. Constraints "
        "and goals may name them; a goal may also be `miou`, the mean intersection over union, `accuracy`, the share of "
        "pixels that are right, or `loss`, the mean cross entropy of a pixel.",
        "search",
        "maximize miou\nminimize macs\nrequire parameters <= 2M and fine.macs <= 50M",
        17,
        ("cost", "macs", "parameters", "peak_activation_bytes", "miou", "accuracy", "loss"),
    ),
    "latency_ms": Construct(
        "how long an architecture takes on a device",
        "Milliseconds of one batch through the network as its user runs it: extracted, in evaluation, statistics folded into "
        "the convolutions. Goals and constraints of a `search` block may name it. The setting `latency` says how it is found: "
        "`table(...)` adds up the operations, each measured once, and is as cheap as a cost; `measured(...)` takes the time "
        "of each candidate, and cannot bound. `hrdsl latency` makes the table of a space and shows its error.",
        "search",
        "minimize latency_ms\nrequire latency_ms <= 20\nlatency = table(batch = 1, threads = 1)",
        19,
    ),
    "maximize": Construct(
        "a goal of the search",
        "`maximize NAME` and `minimize NAME` stand in a `search` block; NAME is a cost, as `macs` or `fine.macs`, or `miou`. The "
        "search keeps the architectures that no other one betters in all goals.",
        "search",
        "maximize miou\nminimize peak_activation_bytes",
        19,
        ("minimize", "goal"),
    ),
    # expressions
    "chain": Construct(
        "what flows through what: `x -> f -> g`",
        "`x -> f -> g` sends the flow `x` through `f`, then `g`. If `x` is itself a cell or an operator, the chain is a "
        "new cell. A list of flows goes as one to a cell or an operator on lists. The arrow binds weaker than all other "
        "marks, and a line may begin with it.",
        "cell",
        "block = conv(3, width = 16) -> bn -> relu\nout = x -> block -> block",
        6,
        ("->",),
    ),
    "none": Construct(
        "the absence of a flow",
        "`none` stands wherever a flow or a cell may, also among the values of a decision. `sum`, `concat` and `+` "
        "leave it out; any other operator or cell gives `none` if an input is `none`. The output has to be there in "
        "every architecture.",
        "cell",
        "side in {conv(3, width = 16), none}\nout = [x -> conv(1, width = 16), x -> side] -> sum",
        8,
    ),
    "if": Construct(
        "one of two values",
        "`if c then a else b`: where the condition is fixed, the other side is not evaluated. Where it depends on "
        "decisions, the result is a value that depends on them too: a choice between flows or cells, or a number. Both "
        "sides are required; `none` is the side that does nothing.",
        "cell",
        "wide in {true, false}\nout = x -> conv(if wide then 5 else 3, width = 16)",
        6,
        ("then", "else"),
    ),
    "and": Construct(
        "truths joined",
        "`and`, `or` and `not` work on truths: comparisons, `true`, `false` and decisions over them. `not` binds "
        "tightest, then `and`, then `or`. Both sides are always evaluated. In a constraint, the parts of an `and` are "
        "judged one by one.",
        "space",
        "s2.times in 1..3\nrequire s2.times == 1 or not (s2.times == 3 and macs > 20M)",
        6,
        ("or", "not"),
    ),
    "true": Construct(
        "truths",
        "`true` and `false` are the two truths: values of settings like `bias`, of decisions that open or close "
        "something, and of conditions. A comparison gives one.",
        "cell",
        "biased = true\nout = x -> conv(3, width = 16, bias = biased)",
        5,
        ("false", "truth"),
    ),
    "arithmetic": Construct(
        "`+ - * / // %` and comparison",
        "`+ - * / // %` are exact: `//` rounds down, `/` gives a fraction where there is a remainder. Between flows `+` "
        "adds and `*` multiplies. `< <= > >=` compare numbers and costs; `==` and `!=` also texts, lists and cells. "
        "A comparison has two sides: write `a < b and b < c`.",
        "cell",
        "inner = max(x.width // 4, 8)\nout = x + (x -> conv(1, inner) -> relu -> conv(3, x.width))",
        6,
        ("+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!="),
    ),
    "list": Construct(
        "several values in order",
        "`[a, b]` is a list: of numbers, of flows or of anything else. `list[0]` is its first element. `[a for v in "
        "list if c]` makes one from another, with several `for` if need be; the last turns fastest. Where a stage wants "
        "a value, a list gives one to each branch.",
        "cell",
        "paths = [x -> conv(k, width = 8) for k in [1, 3, 5] if k < 5]\nout = [paths[0] -> relu, paths[1]] -> concat",
        6,
        ("[]", "comprehension"),
    ),
    "for": Construct(
        "for each element of a list, or for a space",
        "In a list, `[a for v in list if c]` takes each element as `v`; the condition is fixed, the list is finite. "
        "Behind the name of a `train` or `search` block, `for` names the space that it belongs to.",
        "cell",
        "out = [x -> conv(k, width = 16) for k in range(1, 6) if k % 2 == 1] -> sum",
        6,
    ),
    "attribute": Construct(
        "what a flow or a place says of itself",
        "A flow has `width`, `stride`, `points`, `branch`, and if it is a map `height` and `columns`. A branch or a "
        "stage has `name` and every name that is found from it: `coarse.width`, `s2.times`, `s2.fine.cell`; a stage "
        "also `branches`. They are numbers that may depend on decisions.",
        "cell",
        "out = x -> conv(if x.stride > 2 then 3 else 5, width = 2 * x.width)",
        6,
        ("stride", "points", "height", "columns", "branches", "name"),
    ),
    "parameter": Construct(
        "what a cell is given",
        "A parameter takes the argument at the call, or its default, or else the name at the place of use: cell of the "
        "stage, branch, stage, space. A default wins over a name at the place, so a name is passed on as an argument. "
        "A cell may be an argument too. Parameters of a space are set with `--set`.",
        "cells",
        "cell around(body, depth = 2) {\n  out = x + (x -> repeat(body, times = depth))\n}\n\n"
        "cell twice(width) {\n  out = x -> around(conv(3, width)) -> around(conv(1, width))\n}",
        4,
        ("argument", "default", "scope"),
    ),
}

USES: dict[str, Use] = {
    "min": Use(
        "Takes numbers in a row, or one list of numbers, which must not be empty. The numbers may depend on decisions; "
        "then so does the result.",
        "cell",
        "out = x -> conv(3, width = min(2 * x.width, 64))",
    ),
    "max": Use(
        "Takes numbers in a row, or one list of numbers, which must not be empty. The numbers may depend on decisions; "
        "then so does the result.",
        "cell",
        "out = x -> conv(1, width = max(x.width // 4, 8))",
    ),
    "sum": Use(
        "Takes numbers in a row, or one list of numbers. In a constraint, elements that read an absent decision add "
        "nothing. With flows it is the operator `sum`.",
        "space",
        "s2.times in 1..3 per branch\nrequire sum([s2.fine.times, s2.coarse.times]) <= 4",
    ),
    "round": Use(
        "Takes one number, which may depend on decisions. Of two whole numbers that are equally near, the even one is "
        "taken; `a // 1` rounds down.",
        "cell",
        "ratio in {1/3, 1/2}\nout = x -> conv(3, width = 8 * round(x.width * ratio / 8))",
    ),
    "log2": Use(
        "Takes one number above zero, a fraction too, which may depend on decisions. Between two strides it counts how "
        "often the resolution is halved.",
        "cell",
        "out = x -> repeat(conv(3, width = 8, stride = 2), times = log2(8 / x.stride))",
    ),
    "gcd": Use(
        "Takes two whole numbers above zero, which may depend on decisions: into how many groups a convolution from one "
        "width to another can be divided.",
        "cell",
        "out = x -> conv(1, width = 24, groups = gcd(x.width, 24))",
    ),
    "length": Use(
        "Takes one list, also of flows. The number is fixed, since lists have a fixed length; elements that are `none` "
        "count.",
        "cell",
        "kernels = [1, 3, 5]\nout = x -> conv(kernels[length(kernels) - 1], width = 16)",
    ),
    "range": Use(
        "`range(n)` holds 0 to n - 1, `range(a, b)` holds a to b - 1. The numbers are fixed and whole. As a domain, "
        "`1..3` holds both ends.",
        "cell",
        "out = [x -> conv(2 * k + 1, width = 8) for k in range(1, 4)] -> concat",
    ),
    "subsets": Use(
        "Takes a list and a fixed whole number n and gives every way to choose n of the elements, each a list in the "
        "order of the first. As a domain it makes one decision over lists.",
        "cell",
        "kernels in subsets([1, 3, 5], 2)\nout = (x -> conv(kernels[0], width = 8)) + (x -> conv(kernels[1], width = 8))",
    ),
    "all": Use(
        "Takes one list of truths; of an empty list it holds. In a constraint, elements that read an absent decision "
        "are left out, and each other one is judged by itself.",
        "space",
        "s2.times in 1..3 per branch\nrequire all([lane.times <= 2 for lane in s2.branches])",
    ),
    "any": Use(
        "Takes one list of truths; of an empty list it does not hold. In a constraint, elements that read an absent "
        "decision are left out.",
        "space",
        "s2.times in 1..3 per branch\nrequire any([lane.times == 1 for lane in s2.branches])",
    ),
    "count": Use(
        "Takes one list of truths and gives a number. In a constraint, elements that read an absent decision are left "
        "out.",
        "space",
        "s2.times in 1..3 per branch\nrequire count([lane.times == 3 for lane in s2.branches]) <= 1",
    ),
    "distinct": Use(
        "Takes one list of numbers or texts, which may depend on decisions. In a constraint, elements that read an absent "
        "decision are left out.",
        "space",
        "s2.times in 1..3 per branch\nrequire distinct([s2.fine.times, s2.coarse.times])",
    ),
    "disjoint": Use(
        "Takes two or more lists of numbers or texts, also decisions over lists. Each list may hold an element several times; "
        "only elements of different lists are compared.",
        "space",
        "stage s3 on fine, coarse {\n  cell = conv(kernels[0]) -> conv(kernels[1])\n"
        "  kernels in subsets([1, 3, 5, 7], 2) per branch\n}\n"
        "require disjoint(s3.fine.kernels, s3.coarse.kernels)",
    ),
    "contains": Use(
        "Takes a list of numbers or texts, also a decision over lists, and a value. In a constraint, elements that read an "
        "absent decision are left out.",
        "space",
        "s2.times in 1..3 per branch\nrequire contains([s2.fine.times, s2.coarse.times], 2)",
    ),
    "repeat": Use(
        "Gives a cell: the one that it is given, n times in a row, each time with weights of its own. `times` may be "
        "searched; then the first of the largest number are taken. 0 passes the flow on as it is.",
        "cell",
        "out = x -> repeat(conv(3, width = x.width) -> bn -> relu, times in 1..3)",
    ),
}
