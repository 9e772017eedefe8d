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
        "A file holds at most a million characters. Large collections of cells belong into modules.",
        "file",
        "hrdsl 1\n# ... a million characters ...",
        "hrdsl 1\n\nuse my_cells",
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
        "something is made of itself",
        "Entries and cells expand fully, so none may contain itself, directly or through others.",
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
        "The operator or setting takes a smaller range of values: kernels are odd, widths at least 1.",
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
        "out = (x -> conv(3, width = 8, stride = 2) -> resize(like = x)) + (x -> conv(3, width = 8))",
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
        "Each can be met, all together cannot.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width < 30\nrequire coarse.width > 30",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width < 30",
    ),
    "E406": Code(
        "a value outside the domain",
        "An override closes or narrows a decision to values that its domain holds.",
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
        "A goal is a cost (`macs`, `parameters`, `peak_activation_bytes`) or a metric (`miou`).",
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
        "The constraint excludes nothing.",
        "branch",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width >= 24",
        "branch coarse at 1/4 { width in {24, 32} }\nrequire coarse.width >= 32",
    ),
}
