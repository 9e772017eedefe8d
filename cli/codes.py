"""What every diagnostic means: for `hrdsl explain`. Data only; a test runs every example.

`wrong` raises the code, `mended` does not. `place` says where the example stands: it is the whole `file`, or lines at
its top level (`items`), or lines of a `space`, `branch`, `stage`, `head`, `cell` or `search`.
"""

from typing import NamedTuple


class Code(NamedTuple):
    """One diagnostic: its title, its meaning, an example and the example mended."""

    title: str
    meaning: str
    place: str
    wrong: str
    mended: str


NESTED = "[a for a in range(1000) for b in range(1000) if a + b < 0]"

ROUTES = """cell first() { out = x[0] }

space s {
  input = [3, 32, 32]
  branch fine at 1/1 { width = 8 }
  branch coarse at %s { width = 8 }
  routes paths on fine, coarse {
    layers = 3
    down %s
    cell = %s
  }
  head = first
}"""

CODES: dict[str, Code] = {
    # syntax
    "E101": Code(
        "the file does not start with its edition",
        "The first line names the edition of the language, so that a later compiler reads the file as it was meant.",
        "file",
        "use std.blocks",
        "hrdsl 1\n\nuse std.blocks",
    ),
    "E102": Code(
        "this edition of the language is not known",
        "The file was written for another compiler, or the number after `hrdsl` is missing.",
        "file",
        "hrdsl 9",
        "hrdsl 1",
    ),
    "E103": Code(
        "unexpected word or mark",
        "The text does not go on as the grammar wants. The label says what was expected, the help what to write.",
        "space",
        "require 1 +",
        "require fine.width + 1 < coarse.width",
    ),
    "E104": Code(
        "a bracket is never closed",
        "The message shows where the bracket opens and where it had to close at the latest.",
        "items",
        "cell twice() {\n  out = x -> (relu -> relu\n}",
        "cell twice() {\n  out = x -> (relu -> relu)\n}",
    ),
    "E105": Code(
        "`=` takes one value, `in` searches a set",
        "`=` says that the author decided; `in` opens a decision for the search. A set or a range stands after `in`.",
        "branch",
        "branch coarse at 1/4 { width = {24, 32} }",
        "branch coarse at 1/4 { width in {24, 32} }",
    ),
    "E106": Code(
        "not a number",
        "Numbers are whole or decimal; units are k M G T (counts), Ki Mi Gi (bytes) and us ms s (time).",
        "space",
        "require macs <= 60Q",
        "require macs <= 60M",
    ),
    "E107": Code(
        "no character of the language",
        "Outside comments and strings the language uses plain letters, digits and a few marks.",
        "space",
        "require fine.width ≤ coarse.width",
        "require fine.width <= coarse.width",
    ),
    "E108": Code(
        "the file holds a character that cannot be seen",
        "Hidden characters make a text mean something else than it shows, so none is accepted.",
        "items",
        "cell a\u200b() {\n  out = x -> relu\n}",
        "cell a() {\n  out = x -> relu\n}",
    ),
    "E109": Code(
        "nested too deeply",
        "Brackets, calls and operators nest to a limit; beyond it, inner parts are given names.",
        "cell",
        f"out = {'(' * 70}x{')' * 70}",
        "out = x",
    ),
    "E110": Code(
        "a word of the language cannot be a name",
        "Words such as `use`, `on`, `at`, `in`, `per`, `require`, `if`, `none` are taken.",
        "cell",
        "then = x -> relu\nout = then",
        "after = x -> relu\nout = after",
    ),
    "E111": Code(
        "one entry per line",
        "An entry ends with its line. Blocks may stand on one line only if they hold one entry.",
        "branch",
        "branch coarse at 1/4 { width = 32 depth = 2 }",
        "branch coarse at 1/4 {\n  width = 32\n}",
    ),
    "E112": Code(
        "comparisons do not chain",
        "`a < b < c` is written as two comparisons joined by `and`.",
        "space",
        "require 8 <= fine.width < coarse.width",
        "require 8 <= fine.width and fine.width < coarse.width",
    ),
    "E113": Code(
        "the file is too long",
        "A file holds at most 200,000 characters. Large collections of cells belong into modules.",
        "file",
        "hrdsl 1\n# ... more than 200,000 characters ...",
        "hrdsl 1\n\nuse my_cells",
    ),
    "E114": Code(
        "a word or a mark of another language",
        "Cells are declared with `cell`, results with `out`, comments with `#`; the help says what to write.",
        "cell",
        "out = x => relu",
        "out = x -> relu",
    ),
    # names and modules
    "E201": Code(
        "unknown name",
        "Names are looked up outwards: cell, stage, branch, space, file. A module's cells stand behind its name.",
        "stage",
        "cell = blocks.residul",
        "cell = blocks.residual",
    ),
    "E202": Code(
        "declared twice",
        "One name stands for one thing in one place. The second span shows the first declaration.",
        "cell",
        "a = x -> relu\na = x -> gelu\nout = a",
        "a = x -> relu\nb = x -> gelu\nout = a + b",
    ),
    "E203": Code(
        "no block of this kind here",
        "A file holds `cell`, `space`, `train`, `search`; a space holds `branch` and `stage`.",
        "space",
        "level deep at 1/8 { width = 64 }",
        "branch deep at 1/8 { width = 64 }",
    ),
    "E204": Code(
        "no such entry here",
        "The block does not know this entry. `hrdsl explain train` and `hrdsl explain search` list the settings.",
        "search",
        "maximise = miou",
        "maximize miou",
    ),
    "E205": Code(
        "an entry is missing",
        "A cell needs `out`, a space needs `input` and `head`, a branch its place, a stage its branches.",
        "items",
        "cell twice(width) {\n  y = x -> conv(3, width)\n}",
        "cell twice(width) {\n  out = x -> conv(3, width)\n}",
    ),
    "E206": Code(
        "no such module",
        "`use` finds the library below `std`, and files beside the one that uses them.",
        "items",
        "use std.block",
        "use std.blocks as more",
    ),
    "E207": Code(
        "modules use each other in a circle",
        "Modules form an order: none uses itself through others. The label shows the circle.",
        "file",
        "hrdsl 1\n\nuse other   # and other.arch says: use this",
        "hrdsl 1\n\nuse common  # what both need stands in common.arch",
    ),
    "E208": Code(
        "no such parameter",
        "The operator or cell has no parameter of this name. `hrdsl explain NAME` lists those it has.",
        "cell",
        "out = x -> conv(3, widht = 16)",
        "out = x -> conv(3, width = 16)",
    ),
    "E209": Code(
        "a parameter has no value",
        "A parameter without a default is given in the call, or found by its name in stage, branch or space.",
        "cell",
        "out = x -> conv(width = 8)",
        "out = x -> conv(3, width = 8)",
    ),
    "E210": Code(
        "too many arguments",
        "The operator or cell has fewer parameters than there are arguments in order.",
        "cell",
        "out = x -> dropout(1/2, 3)",
        "out = x -> dropout(1/2)",
    ),
    "E211": Code(
        "an entry is defined by itself",
        "Entries expand fully, so none may need its own value, directly or through others.",
        "cell",
        "y = y -> relu\nout = y",
        "y = x -> relu\nout = y",
    ),
    "E212": Code(
        "this cannot stand here",
        "Each block has its own kinds of lines: goals stand in `search`, constraints in `space` and `search`.",
        "space",
        "minimize macs",
        "require macs <= 60M",
    ),
    "E213": Code(
        "an override names nothing",
        "A dotted target sets one entry of a stage or decision by its path. This path exists nowhere in the space.",
        "space",
        "s2.coarse.kernle = 5",
        "require coarse.width >= fine.width",
    ),
    "E214": Code(
        "outside the folders that may be read",
        "`use` reads the folder of the file and the library, nothing else; a link that leads out of it is refused.",
        "file",
        "hrdsl 1\n\nuse shared  # shared.arch links to another folder",
        "hrdsl 1\n\nuse shared  # shared.arch stands beside this file",
    ),
    "E215": Code(
        "a module that this file does not use",
        "Each file names the modules that it reads from, with `use` at its top.",
        "stage",
        "cell = channel.squeeze_excite()",
        "cell = blocks.residual",
    ),
    "E216": Code(
        "a parameter of the space has no value",
        "A parameter of a space has a default, or its value comes from outside: `--set name=value`.",
        "file",
        "hrdsl 1\n\nspace s(classes) {\n  input = [3, 32, 32]\n  head = conv(1, width = classes)\n}",
        "hrdsl 1\n\nspace s(classes = 4) {\n  input = [3, 32, 32]\n  head = conv(1, width = classes)\n}",
    ),
    "E217": Code(
        "a cell contains itself",
        "Cells expand fully, so none may use itself, directly or through others. `repeat` puts several in a row.",
        "items",
        "cell deep() {\n  out = x -> relu -> deep\n}\n\nspace s {\n  input = [3, 32, 32]\n  head = deep\n}",
        "cell deep() {\n  out = x -> relu\n}\n\nspace s {\n  input = [3, 32, 32]\n  head = repeat(deep, times = 3)\n}",
    ),
    "E218": Code(
        "an argument is given twice",
        "A parameter takes one value, in order or by name. The second span shows the first.",
        "cell",
        "out = x -> conv(3, width = 8, width = 16)",
        "out = x -> conv(3, width = 8)",
    ),
    "E219": Code(
        "an installed package cannot be used",
        "Packages add operators and modules. One of them fails when it is imported, or adds what is no operator or no "
        "folder, or takes a name that is taken. The label says what is wrong.",
        "file",
        "hrdsl 1\n\nuse shapes.blocks   # importing the package behind `shapes` fails",
        "hrdsl 1\n\nuse std.blocks      # the package was removed, or mended",
    ),
    # values and shapes
    "E301": Code(
        "a value of the wrong kind",
        "A number, a list, a cell or a flow stands where another kind is needed.",
        "stage",
        "cell = 3",
        "cell = conv(3)",
    ),
    "E302": Code(
        "different units",
        "A unit is a type: bytes, milliseconds and plain counts are compared only among themselves.",
        "space",
        "require peak_activation_bytes <= 12M",
        "require peak_activation_bytes <= 12Mi",
    ),
    "E303": Code(
        "division by zero",
        "The divisor is zero.",
        "cell",
        "out = x -> conv(3, width = 16 / 0)",
        "out = x -> conv(3, width = 16 / 2)",
    ),
    "E304": Code(
        "a whole number is needed",
        "Widths, kernels, strides and counts are whole for every architecture. The label names one where it is not.",
        "cell",
        "out = x -> conv(3, width = 15 / 2)",
        "out = x -> conv(3, width = 15 // 2)",
    ),
    "E305": Code(
        "a value out of range",
        "The operator or setting takes a smaller range of values: widths are at least 1, probabilities at most 1.",
        "cell",
        "out = x -> conv(3, width = 0)",
        "out = x -> conv(3, width = 8)",
    ),
    "E306": Code(
        "flows of different widths cannot be joined",
        "Sums and products need equal widths, for every architecture. The label shows both widths and, where decisions "
        "change them, one choice that breaks it.",
        "cell",
        "out = (x -> conv(1, width = 8)) + (x -> conv(3, width = 16))",
        "out = (x -> conv(1, width = 16)) + (x -> conv(3, width = 16))",
    ),
    "E307": Code(
        "flows of different sizes cannot be joined",
        "Height and width must agree, for every architecture.",
        "cell",
        "out = (x -> conv(3, width = 8, stride = 2)) + (x -> conv(3, width = 8))",
        "out = (x -> conv(3, width = 8, stride = 2) -> resize(x)) + (x -> conv(3, width = 8))",
    ),
    "E308": Code(
        "a flow of the wrong form",
        "Operators take a map [C, H, W], tokens [N, C] or a vector [C]; `to_tokens` and `to_map` convert.",
        "cell",
        "out = x -> global_pool -> conv(3, width = 8)",
        "out = x -> conv(3, width = 8)",
    ),
    "E309": Code(
        "not divisible",
        "Groups divide widths, heads divide channels.",
        "cell",
        "out = x -> conv(1, width = 9) -> conv(3, width = 9, groups = 2)",
        "out = x -> conv(1, width = 9) -> conv(3, width = 9, groups = 3)",
    ),
    "E310": Code(
        "nothing flows here",
        "Every alternative is `none`, so the place has no input.",
        "cell",
        "a = if x.width > 0 then none else none\nout = a -> relu",
        "a = if x.width > 0 then x else none\nout = a -> relu",
    ),
    "E311": Code(
        "a branch's flow has another resolution than declared",
        "`at 1/4` promises a flow four times smaller than the input. Strides of stem and entry must lead there.",
        "stage",
        "cell = conv(3, stride = 2)",
        "cell = conv(3)",
    ),
    "E312": Code(
        "no such attribute",
        "A flow has `width`, `stride`, `branch`, `points` and, as a map, `height` and `columns`; places have their "
        "entries.",
        "cell",
        "out = x -> conv(1, width = x.widht)",
        "out = x -> conv(1, width = x.width)",
    ),
    "E313": Code(
        "an operation that is not defined",
        "Arithmetic takes numbers; `+` and `*` also join flows; `and`, `or`, `not` take true or false.",
        "cell",
        "out = x + 1",
        "out = x + (x -> relu)",
    ),
    "E314": Code(
        "too large",
        "Every file expands to a bounded size, checked before it is expanded.",
        "branch",
        "branch coarse at 1/4 { width in 1..1000000000 }",
        "branch coarse at 1/4 { width in 16..64 step 16 }",
    ),
    "E315": Code(
        "a window of even size",
        "Kernels lie around their middle, so their sizes are odd. The span shows the value, or the domain that holds it.",
        "cell",
        "kernel in {3, 4, 5}\nout = x -> conv(kernel, width = 8)",
        "kernel in {3, 5}\nout = x -> conv(kernel, width = 8)",
    ),
    "E316": Code(
        "no such value of a text setting",
        "Some settings take one of a few texts. `hrdsl explain NAME` lists them.",
        "cell",
        'out = x -> conv(3, width = 8, stride = 2) -> resize(x, mode = "linear")',
        'out = x -> conv(3, width = 8, stride = 2) -> resize(x, mode = "bilinear")',
    ),
    "E317": Code(
        "the place of a branch is a fraction",
        "`at 1/4` says that the branch's flow is four times smaller than the input on each side.",
        "branch",
        "branch coarse at 4 { width = 32 }",
        "branch coarse at 1/4 { width = 32 }",
    ),
    "E318": Code(
        "the input has no size",
        "`input` lists channels, height and width, fixed whole numbers from 1.",
        "file",
        "hrdsl 1\n\nspace s {\n  input = [32, 32]\n  head = conv(1, width = 4)\n}",
        "hrdsl 1\n\nspace s {\n  input = [3, 32, 32]\n  head = conv(1, width = 4)\n}",
    ),
    "E319": Code(
        "too much to evaluate",
        "The steps that expressions take are counted, so that every file ends soon.",
        "cell",
        f"a = {NESTED}\nout = if length(a) > 3 then x else x -> relu",
        "a = range(4)\nout = if length(a) > 3 then x else x -> relu",
    ),
    "E321": Code(
        "a branch of routes does not halve the resolution",
        "Routes halve the resolution step by step, so each branch of `routes` stands at half the place of the one before.",
        "items",
        ROUTES % ("1/4", "in subsets(range(1, layers), halvings) per branch", "conv(3)"),
        ROUTES % ("1/2", "in subsets(range(1, layers), halvings) per branch", "conv(3)"),
    ),
    "E322": Code(
        "a route cannot halve in these layers",
        "`down` holds the layers in which a route halves the resolution, the lowest first. The last layer never halves.",
        "items",
        ROUTES % ("1/2", "in subsets(range(1, layers + 1), halvings) per branch", "conv(3)"),
        ROUTES % ("1/2", "in subsets(range(1, layers), halvings) per branch", "conv(3)"),
    ),
    "E323": Code(
        "one value for each branch",
        "A list as an entry of a stage gives one value to each branch of the stage, in the order after `on`.",
        "stage",
        "cell = blocks.residual\ntimes = [1, 2, 3]",
        "cell = blocks.residual\ntimes = [1, 2]",
    ),
    "E324": Code(
        "no cell can halve where a route does",
        "`routes` passes `stride = 2` to the cell of a layer that halves; a cell without that parameter keeps the resolution.",
        "items",
        ROUTES % ("1/2", "in subsets(range(1, layers), halvings) per branch", "identity"),
        ROUTES % ("1/2", "in subsets(range(1, layers), halvings) per branch", "conv(3)"),
    ),
    # decisions and constraints
    "E401": Code(
        "an empty domain",
        "A decision needs at least one value. In `first..last`, both ends belong to the range and first <= last.",
        "branch",
        "branch coarse at 1/4 { width in 48..24 step 8 }",
        "branch coarse at 1/4 { width in 24..48 step 8 }",
    ),
    "E402": Code(
        "a value stands twice in a domain",
        "A domain is a set. A repeated value would count and be sampled twice.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32, 24} }",
        "branch coarse at 1/4 { width in {24, 32} }",
    ),
    "E403": Code(
        "no architecture meets this constraint",
        "The constraint is false for every combination of choices. The label shows the values of its parts.",
        "space",
        "require fine.width > coarse.width",
        "require fine.width < coarse.width",
    ),
    "E404": Code(
        "this cannot be searched",
        "What shapes the space itself is fixed with `=`: bounds and values of domains, flags, the input.",
        "cell",
        "k in {3, 5}\nw in {k, 8}\nout = x -> conv(k, width = w)",
        "k in {3, 5}\nw in {4, 8}\nout = x -> conv(k, width = w)",
    ),
    "E405": Code(
        "no architecture meets these constraints together",
        "Without any one of these constraints there are architectures. Constraints that are not shown play no part in the conflict.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width < 30\nrequire coarse.width > 30",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width < 30",
    ),
    "E406": Code(
        "a value outside the domain",
        "An override that fixes a decision gives it one of the values that its domain holds.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32} }\ncoarse.width = 40",
        "branch coarse at 1/4 { width in {24, 32} }\ncoarse.width = 32",
    ),
    "E407": Code(
        "a constraint must be true or false",
        "`require` takes a comparison, or several joined by `and`, `or`, `not`.",
        "space",
        "require coarse.width",
        "require coarse.width > 16",
    ),
    "E408": Code(
        "a decision cannot be made there",
        "`per branch` makes one decision for each branch of a stage, `per cell` one for each cell of a branch.",
        "stage",
        "cell in {blocks.residual, blocks.separable} per stage",
        "cell in {blocks.residual, blocks.separable} per branch",
    ),
    "E409": Code(
        "no such alternative",
        "A choice of cells is compared with one of its labels: the cells' names, numbered where one stands twice.",
        "stage",
        'cell in {blocks.residual, blocks.separable}\n}\nrequire s2.cell == "residul"\nbranch more at 1/8 {',
        'cell in {blocks.residual, blocks.separable}\n}\nrequire s2.cell == "residual"\nbranch more at 1/8 {',
    ),
    "E410": Code(
        "a prior that cannot be followed",
        "A prior gives values of its quantity a weight; a value without one is never drawn.",
        "space",
        "s2.times in {1, 2, 3}\nprior s2.times {1: 1, 4: 2}",
        "s2.times in {1, 2, 3}\nprior s2.times {1: 1, 3: 2}",
    ),
    # train and search
    "E501": Code(
        "a setting has a value that it cannot have",
        "The message says what is needed. `hrdsl explain train` and `hrdsl explain search` list every setting.",
        "search",
        "maximize miou\nvalidate = 0",
        "maximize miou\nvalidate = 200",
    ),
    "E502": Code(
        "unknown objective",
        "A goal is a cost (`macs`, `parameters`, `peak_activation_bytes`) or a metric (`miou`, `accuracy`, `loss`).",
        "search",
        "minimize flops",
        "minimize macs",
    ),
    "E503": Code(
        "a space without decisions",
        "There is nothing to search. A found network is such a space: retrain it, or open a decision with `in`.",
        "search",
        "maximize miou",
        "maximize miou  # for a space with an `in`",
    ),
    "E504": Code(
        "a choice that a setting does not have",
        "Some settings are one of a few calls, each with its own options. `hrdsl explain` lists them.",
        "search",
        "strategy = nsga_ii(population = 16)",
        "strategy = nsga2(population = 16)",
    ),
    "E505": Code(
        "training takes one head",
        "The loss and the metric are those of one output. A space with `heads` compiles, runs and is exported.",
        "items",
        "space s {\n  input = [3, 32, 32]\n  heads {\n    a = conv(1, width = 4)\n    b = conv(3, width = 2)\n  }\n}\n\ntrain t for s {}",
        "space s {\n  input = [3, 32, 32]\n  head = conv(1, width = 4)\n}\n\ntrain t for s {}",
    ),
    "E506": Code(
        "only a search knows a latency",
        "A space is the same on every machine, its latency is not. A `search` block says how latency is found, and bounds it.",
        "space",
        "require latency_ms <= 20",
        "require macs <= 300M",
    ),
    "E507": Code(
        "a limit on the latency needs a table",
        "A limit refuses architectures before anything is measured; only a table knows their latency then.",
        "search",
        "minimize latency_ms\nrequire latency_ms <= 20\nlatency = measured(seconds = 2)",
        "minimize latency_ms\nrequire latency_ms <= 20\nlatency = table(batch = 1)",
    ),
    "E508": Code(
        "nothing can be pruned",
        "Pruning removes channels and tokens one by one, so a decision has to count them, and nothing may read them by their place.",
        "search",
        "strategy = prune(to = [1/2])",
        "strategy = prune(to = [1/2])  # for a space with a width in 8..64",
    ),
    "E509": Code(
        "a cost that pruning cannot reach",
        "Some units have to stay: the least of each domain, the share `keep`, and what constraints need.",
        "search",
        "strategy = prune(to = [1/100], keep = 1/2)",
        "strategy = prune(to = [1/2])",
    ),
    "E510": Code(
        "a cost that a part of the network does not have",
        "`macs` and `parameters` are sums over operations, each of one branch or of none. A latency and a peak of memory are "
        "of the whole network; a stage has no costs.",
        "space",
        "require fine.peak_activation_bytes <= 1Mi",
        "require fine.macs <= 100M and peak_activation_bytes <= 1Mi",
    ),
    # warnings
    "W601": Code(
        "a decision with one possible value",
        "The domain has a single value, so the search decides nothing here.",
        "branch",
        "branch coarse at 1/4 { width in {32} }",
        "branch coarse at 1/4 { width = 32 }",
    ),
    "W602": Code(
        "nothing reads this decision",
        "The search would vary it and nothing would change: often a misspelt name.",
        "stage",
        "cell = blocks.residual\ntmies in 1..3",
        "cell = blocks.residual\ntimes in 1..3",
    ),
    "W603": Code(
        "every architecture meets this constraint",
        "The constraint excludes nothing. One that names a parameter of the space says what may be set, and is no fault.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width >= 24",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width >= 32",
    ),
    "W604": Code(
        "a dead branch or stage",
        "Nothing of it reaches the output: no later stage and no head reads its flow, or no stage runs on it.",
        "branch",
        "branch coarse at 1/4 { width = 32 }\nbranch deep at 1/8 { width = 64 }",
        "branch coarse at 1/4 { width = 32 }",
    ),
    "W605": Code(
        "nothing uses this",
        "A module, a cell, a parameter or an entry of a cell stands in the file, and nothing reads it.",
        "cell",
        "side = x -> relu\nout = x",
        "side = x -> relu\nout = side",
    ),
    "W606": Code(
        "nothing reads this entry",
        "An entry of a space, a branch or a stage that nothing reads: often a misspelt name.",
        "stage",
        "cell = blocks.residual\ntiems = 2",
        "cell = blocks.residual\ntimes = 2",
    ),
}
