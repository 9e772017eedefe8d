"""Sentences of SPEC.md against the compiler: each with a program that would show it false, and what has to come of it."""

from typing import NamedTuple

import numpy as np
import pytest

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.found import compile_text as compile_found
from hrdsl.compiler.found import found_text
from hrdsl.dsl.diagnostic import ArchError

from .spaces import compile_text

ONE = "branch fine at 1/1 { width = 16 }\n"
TWO = ONE + "branch coarse at 1/2 { width = 16 }\n"
WIDTHS = "branch fine at 1/1 { width in {8, 16, 24} }\nstage s1 on fine { cell = conv(3) }\n"
DEPTH = ONE + "stage s1 on fine { a in {1, 3}\n cell = conv(a)\n times in 0..1 }\n"
ROUTES = TWO + "routes r on fine, coarse { layers = 3\n down in subsets(range(1, layers), halvings) per branch\n %s }\n"
FIXED = TWO + "routes r on fine, coarse { layers = 3\n down = if halvings == 1 then [2] else []\n %s }\n"
WIDE = "cell wide() { out = [f -> resize(x[0]) for f in x] -> concat }\n"
SUM = "cell total() { out = [f -> resize(x[0]) -> conv(1, 4) for f in x] -> sum }\n"

Outcome = str | int | tuple[str, ...] | dict[str, int]


class Law(NamedTuple):
    """What SPEC.md says; the lines of a space; a code, a count, the paths of all decisions, or sizes; cells before it."""

    says: str
    lines: str
    outcome: Outcome
    cells: str = ""


def stage(lines: str, branches: str = ONE) -> str:
    on = "fine, coarse" if branches is TWO else "fine"
    return f"{branches}stage s1 on {on} {{ {lines} }}\n"


LAWS: dict[str, list[Law]] = {
    "1 lexical structure": [
        Law("`##` behind code", stage("cell = conv(3) ## no"), "E103"),
        Law("`_` between digits only", stage("cell = conv(3, width = 1__6)"), "E106"),
        Law("a suffix follows the exponent", stage("cell = conv(3, width = 16e-3k)") + "head = concat", {"width": 16}),
        Law("an operator at the end of a line", stage("cell = conv(1 +\n 2)").replace("(1", "1", 1), "E103"),
        Law("no newline counts in parentheses", stage("k = (1 +\n 2)\n cell = conv(k)"), 1),
    ],
    "4 scope": [
        Law("a default wins over a name in scope", stage("kernel = 4\n stride = 2\n cell = c"), 1, "cell c(kernel = 3, width) { out = x -> conv(kernel, width) }"),
        Law("the branch comes before the space", "kernel = 2\n" + stage("cell = conv", ONE.replace("16", "16\n kernel = 3")), 1),
        Law("the stage comes before the branch", stage("kernel = 3\n cell = conv", ONE.replace("16", "16\n kernel = 2")), 1),
        Law("a stage is named from its place on", ONE + "stage s1 on fine { cell = conv(s2.k) }\nstage s2 on fine { k = 3 }\n", "E201"),
        Law("an earlier stage has a name", stage("k = 3\n cell = conv(k)") + "stage s2 on fine { cell = conv(s1.k) }\n", 1),
        Law("a default uses parameters before it only", stage("cell = c"), "E201", "cell c(a = b, b = 3) { out = x -> conv(a, b) }"),
        Law("a default uses no names of the place of use", stage("k = 3\n cell = c"), "E201", "cell c(a = k) { out = x -> conv(a, 16) }"),
        Law("within a cell the body only", stage("kernel = 3\n cell = c"), "E209", "cell c(width) { out = x -> conv }"),
        Law("a file's cell hides an operator", stage("cell = relu") + "head = concat", {"width": 7}, "cell relu() { out = x -> conv(1, 7) }"),
        Law("an entry has no name of a parameter", stage("cell = c"), "E202", "cell c(width) { width = 3\n out = x -> conv(1, width) }"),
        Law("an entry has no name of a branch", "fine = 3\n" + stage("cell = conv(3)"), "E202"),
        Law("an entry that reads itself", "a = b\nb = a\n" + stage("cell = conv(a)"), "E211"),
    ],
    "5 values": [
        Law("a text is no number", stage('k in {"a", "b"}\n cell = conv(k)'), "E301"),
        Law("a truth is no number", stage("k in {true, false}\n cell = conv(1 + 2 * k)"), "E301"),
        Law("texts that depend on decisions compare", 'a in {"p", "q"}\nb in {"p", "q"}\n' + stage("cell = if a == b then conv(3) else conv(1)"), 4),
        Law("the sides of `if` are of one kind", 'a in {true, false}\n' + stage('cell = conv(if a then 3 else "a")'), "E301"),
        Law("the input is static", "h in {16, 32}\ninput = [3, h, h]\n" + stage("cell = conv(3)"), "E404"),
        Law("the place of a branch is static", "h in {1, 2}\n" + stage("cell = conv(3)", ONE.replace("1/1", "1/h")), "E404"),
        Law("a position is static", "h in {0, 1}\n" + stage("cell = conv([1, 3][h])"), "E404"),
        Law("a condition of a list is static", "h in {0, 1}\n" + stage("cell = conv([3 for i in [1] if h == 0][0])"), "E404"),
        Law("a domain is static", "h in {1, 2}\n" + stage("cell = conv(k)\n k in 1..h"), "E404"),
        Law("`bias` is static", "h in {true, false}\n" + stage("cell = conv(3, bias = h)"), "E404"),
    ],
    "6 expressions": [
        Law("of a static `if` one side is evaluated", stage("cell = if 1 < 2 then conv(3) else conv(1 / 0)"), 1),
        Law("both sides of `or` are evaluated", stage("cell = if 1 < 2 or 1 / 0 == 1 then conv(3) else relu"), "E303"),
        Law("`//` rounds down, `%` has the sign of the divisor", stage("cell = conv(if -7 // 2 == -4 and -7 % 3 == 2 and 7 % -3 == -2 then 3 else 2)"), 1),
        Law("`round` takes the even one of two", stage("cell = conv(if [round(k / 2) for k in [1, 3, 5]] == [0, 2, 2] then 3 else 2)"), 1),
        Law("`log2` rounds down, of choices too", "k in {7, 8, 9, 3/2}\n" + stage("cell = conv(1 + 2 * log2(k) // 3 * 2)"), 4),
        Law("`log2` takes numbers above zero", "k in {0, 1}\n" + stage("cell = conv(1 + 2 * log2(k))"), "E301"),
        Law("`gcd` divides both, of choices too", "k in {12, 18, 27}\n" + stage("cell = conv(2 * gcd(k, 18) // 2 // 2 * 2 + 1)"), 3),
        Law("`gcd` takes whole numbers above zero", "k in {0, 1}\n" + stage("cell = conv(gcd(k, 3))"), "E301"),
        Law("the last `for` turns fastest and uses variables before it", stage("cell = conv(if [10 * i + j for i in range(3) for j in range(i)] == [10, 20, 21] then 3 else 2)"), 1),
        Law("a cell takes no entry that is no decision", stage("cell = c(k = 3)"), "E208", "cell c(width) { k = 1\n out = x -> conv(k, width) }"),
        Law("... but one that is", stage("cell = c(k = 3)"), 1, "cell c(width) { k in {1, 3}\n out = x -> conv(k, width) }"),
    ],
    "7 cells": [
        Law("a cell that contains itself", stage("cell = c"), "E217", "cell c() { out = x -> c }"),
        Law("the parentheses are required", stage("cell = c"), "E205", "cell c { out = x }"),
        Law("no `require` in a cell", stage("cell = c"), "E212", "cell c() { require 1 < 2\n out = x }"),
        Law("no dotted target in a cell", stage("cell = c"), "E212", "cell c() { a.b = 2\n out = x }"),
        Law("`out` wins over `cell`", stage("cell = c"), {"parameters": 48 + 64}, "cell c() { cell = conv(3, 16)\n out = x }"),
        Law("a list of one flow is that flow", stage("cell = c"), 1, "cell c() { out = [x -> relu] }"),
        Law("a parameter stands once", stage("cell = c"), "E202", "cell c(a, a) { out = x }"),
    ],
    "8 none": [
        Law("`+` leaves `none` out", stage("cell = c") + "head = concat", {"width": 16}, "cell c() { none_at_all = none\n out = none_at_all + x }"),
        Law("`none + none` is `none`", stage("cell = c"), 1, "cell c() { a = none + none\n out = [x, a] -> sum }"),
        Law("`*` gives `none`", stage("cell = c"), 1, "cell c() { a = none * x\n out = [x, a] -> sum }"),
        Law("a further input is `none`", stage("cell = c"), 1, "cell c() { out = [x, x -> resize(none)] -> sum }"),
        Law("an input among others is `none`", stage("cell = c"), 1, "cell c() { out = [x, attention(x, none, x)] -> sum }"),
        Law("a list of `none` alone", stage("cell = c"), 1, "cell c() { out = [x, concat([none, none])] -> sum }"),
        Law("a stage that is `none` everywhere", stage("cell = none"), "E310"),
        Law("an output that is `none` somewhere", stage("cell in {none, conv(3)}"), "E310"),
        Law("... unless a constraint excludes it", stage("cell in {none, conv(3)}") + 'require s1.cell != "none"', 1),
    ],
    "9 stages": [
        Law("`times` stands in a branch", stage("cell = conv(1)", ONE.replace("16", "16\n times = 2")), {"parameters": 3 * 16 + 2 * 256 + 64}),
        Law("lists follow the order after `on`", TWO + "stage s1 on coarse, fine { cell = conv(1)\n times = [0, 2] }\nhead = x_fine", {"parameters": 3 * 16 + 2 * 256}, "cell x_fine() { out = x[0] }"),
        Law("a list has one value for each branch", stage("cell = conv(1)\n times = [1, 2, 3]", TWO), "E323"),
        Law("the cells of rounds are counted on", stage("rounds = 2\n cell = conv(kernel in {1, 3} per cell)"), ("s1.fine[1].conv.kernel", "s1.fine[2].conv.kernel")),
        Law("`rounds` is static", stage("rounds in 1..2\n cell = conv(3)"), "E404"),
        Law("`rounds` is of the whole stage", stage("cell = conv(3)\n fine.rounds = 2"), "E213"),
        Law("a branch that is finer needs `enter`", TWO + "stage s1 on coarse { }\nstage s2 on fine { }", "E311"),
        Law("`enter` takes all flows before the stage", TWO + "stage s1 on coarse { }\nstage s2 on fine { enter = c }\nhead = concat_all", {"width": 20}, "cell c(to) { out = x[0] -> up_conv(2, width = 4) }\ncell concat_all() { out = [f -> resize(x[0]) for f in x] -> concat }"),
        Law("without a branch the stem's flow is taken as it is", "branch fine at 1/1 { width = 99 }\nstage s1 on fine { }\nhead = concat", {"width": 16}),
        Law("a growing flow has a static stride", "a in {1, 2}\nstem = conv(3, width = 4, stride = a)\n" + stage("", ONE.replace("1/1", "1/2")), "E404"),
        Law("`to` is for the first of a chain", stage("fuse = a -> b"), "E209", "cell a(to) { out = x[0] }\ncell b(to) { out = x }"),
        Law("operators take no `to`", stage("fuse = concat"), 1),
        Law("a cell of a stage has one result", stage("cell = c"), "E301", "cell c() { out = [x, x] }"),
        Law("a head has one result", stage("") + "head = c", "E301", "cell c() { out = [x[0], x[0]] }"),
    ],
    "9 routes": [
        Law("each branch halves", ROUTES.replace("1/2", "1/4") % "cell = conv(3)", "E321"),
        Law("no route halves in the last layer", ROUTES.replace("1, layers", "1, layers + 1") % "cell = conv(3)", "E322"),
        Law("`down` is required", ROUTES.replace("down", "up") % "cell = conv(3)", "E205"),
        Law("`down` as a list for each branch", FIXED.replace("if halvings == 1 then [2] else []", "[[], [2]]") % "cell = conv(3)", 1),
        Law("`layers` is static", ROUTES.replace("layers = 3", "layers in {3, 4}") % "cell = conv(3)", "E404"),
        Law("`cell` is required", ROUTES % "", "E205"),
        Law("a cell without `stride` cannot halve", ROUTES % "cell = relu", "E324"),
        Law("a chain is as its first", ROUTES % "cell = relu -> conv(3)", "E324"),
        Law("a chain passes `stride` to its first", ROUTES % "cell = conv(3) -> relu -> conv(3)", 2),
        Law("2^3 for one, 2 * 2^2 for the other", ROUTES % "cell in {identity, conv(3)} per cell", 64),
        Law("`open` is a truth", ROUTES % "open in {0, 1} per branch\n cell = conv(3)", "E301"),
        Law("a route that is not open is `none`", ROUTES % "open in {true, false} per branch\n cell = conv(3)" + "require r.fine.open", 3),
        Law("`layer`, `stride` and `branch`", FIXED % 'width = 16 * stride + layer\n cell = conv(if branch == "fine" then 1 else 3)' + "head = wide", {"width": 19 + 35, "parameters": 48 + 16 * 17 + 17 * 18 + 18 * 19 + 9 * 17 * 34 + 9 * 34 * 35}, WIDE),
        Law("one cell for each route and layer", ROUTES % "k in {1, 3} per cell\n cell = conv(k)\n coarse[1].k = 3", ("r.fine[1].k", "r.fine[2].k", "r.fine[3].k", "r.coarse.down", "r.coarse[2].k", "r.coarse[3].k")),
        Law("what routes have in common counts once", FIXED % "cell = conv(3)", {"parameters": 48 + 9 * 256 * 5 + 128}),
        Law("... where one of them has a choice too", FIXED % "cell in {identity, conv(1)} per cell\n coarse[1].cell = conv(1)" + "require all([r.fine[k].cell != 'identity' for k in [1, 2, 3]])".replace("'", '"'), 2),
        Law("`fuse = none` keeps the last flow", FIXED % "cell = conv(3)\n fuse = none", {"parameters": 48 + 9 * 256 * 5 + 128}),
        Law("`fuse` takes a list", FIXED % "cell = conv(3)\n fuse = [none, both]", {"parameters": 48 + 9 * 256 * 5 + 128}, "cell both() { out = x[1] }"),
        Law("`fuse` gets the highest resolution first, and `to`", FIXED % "cell = conv(3)\n fuse = c" + "head = wide", {"width": 16 + 1}, WIDE + "cell c(to) { out = if length(x) == 1 then x[0] else x[0] -> conv(1, 1, stride = to.stride) }"),
    ],
    "10 decisions": [
        Law("numbers, truths and texts do not mix", stage('k in {3, "a"}\n cell = conv(3)\n times = length([k])'), "E301"),
        Law("lists are of one length", stage("k in {[3], [3, 5]}\n cell = conv(k[0])"), "E301"),
        Law("no value stands twice", stage("k in {3, 1 + 2}\n cell = conv(k)"), "E402"),
        Law("an expression gives no cells", "l = [conv(3), relu]\n" + stage("cell in l"), "E301"),
        Law("a decision over lists is one decision", stage("k in {[1, 3], [3, 5]}\n cell = conv(k[0]) -> conv(k[1])"), 2),
        Law("the last step may be left out", stage("k in 1..6 step 2\n cell = conv(k)"), 3),
        Law("an argument belongs to the place of its entry: stage", stage("times = 2\n cell = conv(kernel in {1, 3})", TWO), ("s1.conv.kernel",)),
        Law("... branch", stage("times = 2", ONE.replace("16", "16\n cell = conv(kernel in {1, 3})")), ("fine.conv.kernel",)),
        Law("... space", "cell = conv(kernel in {1, 3})\n" + stage("", TWO), ("conv.kernel",)),
        Law("... `per branch`", "cell = conv(kernel in {1, 3} per branch)\n" + stage("times = 2", TWO), ("s1.fine.conv.kernel", "s1.coarse.conv.kernel")),
        Law("... `per cell`", "cell = conv(kernel in {1, 3} per cell)\n" + stage("times = 2"), ("s1.fine[1].conv.kernel", "s1.fine[2].conv.kernel")),
        Law("in a cell: one for each use", stage("cell = c\n times = 2"), ("s1.fine[1].c.kernel", "s1.fine[2].c.kernel"), "cell c(width) { kernel in {1, 3}\n out = x -> conv(kernel, width) }"),
        Law("a second call is numbered", stage("cell = conv(kernel in {1, 3}) -> conv(kernel in {1, 3})"), ("s1.conv.kernel", "s1.conv2.kernel")),
        Law("a list of a decision", stage("cell = conv(1)\n times in {[1, 2], [2, 1]}", TWO), ("s1.times",)),
        *(Law(f"`{name}` is read for the branch", stage(f"cell = conv(3)\n {name} in {domain} per cell"), "E408") for name, domain in (("times", "1..2"), ("fuse", "{none, concat}"), ("enter", "{concat, sum}"))),
        Law("arguments within `fuse` likewise", stage("fuse = c(k in {1, 3} per cell)"), "E408", "cell c(k) { out = x[0] -> conv(k, 16) }"),
        Law("a branch's width has no `per`", stage("", ONE.replace("= 16", "in {8, 16} per branch")), "E408"),
        Law("`per` has no meaning in a cell", stage("cell = c"), "E408", "cell c(width) { k in {1, 3} per branch\n out = x -> conv(k, width) }"),
        Law("nor in a head", stage("") + "head = concat -> conv(width = 4, kernel in {1, 3} per branch)", "E408"),
    ],
    "11 overrides": [
        Law("relative to the stage", stage("cell = conv(k)\n k in {1, 3} per branch\n fine.k = 3", TWO), ("s1.coarse.k",)),
        Law("... not from the top", stage("cell = conv(3)\n s1.fine.times = 2"), "E213"),
        Law("from the top in a space", stage("cell = conv(3)") + "s1.fine.times = 2\nfine.width in {8, 16}", ("fine.width",)),
        Law("two of one target", stage("cell = conv(3)\n fine.times = 2") + "s1.fine.times = 3", "E202"),
        Law("beyond the last cell", stage("cell = conv(kernel in {1, 3} per cell)\n fine[2].conv.kernel = 3"), "E213"),
        Law("wins over an argument", stage("cell = c(k = 3)\n fine[1].c.k in {1, 5}"), ("s1.fine[1].c.k",), "cell c(width, k) { out = x -> conv(k, width) }"),
        Law("an argument of an operator without `in`", stage("cell = conv(3)\n fine[1].conv.kernel = 5"), "E213"),
        Law("an argument of an operator with `in`", stage("times = 2\n cell = conv(kernel in {1, 3} per cell)\n fine[1].conv.kernel = 3"), ("s1.fine[2].conv.kernel",)),
        Law("a value of an entry is of its domain", stage("cell = conv(k)\n k in {1, 3}") + "s1.k = 5", "E406"),
        Law("... of an argument", stage("cell = conv(kernel in {1, 3} per cell)\n fine[1].conv.kernel = 5"), "E406"),
        Law("... of a cell", stage("cell = c\n fine[1].c.k = 5"), "E406", "cell c(width) { k in {1, 3}\n out = x -> conv(k, width) }"),
        Law("`in` opens others", stage("cell = conv(k)\n k in {1, 3}") + "s1.k in {5, 7, 9}", 3),
        Law("a cell is not compared", stage("cell in {conv(3), relu} per cell\n times = 2\n fine[1].cell = gelu"), ("s1.fine[2].cell",)),
        Law("a cell where the stage has none", stage("fine[2].cell = conv(1)\n times = 2"), {"parameters": 48 + 256 + 64}),
        Law("`per` in an override", stage("cell = conv(k)\n k = 3\n times = 2\n fine.k in {1, 3} per cell"), ("s1.fine[1].k", "s1.fine[2].k")),
        Law("an entry of a cell that is no decision", stage("cell = c\n fine[1].c.k = 3"), {"width": 4}, "cell c(width) { k = 4\n out = x -> conv(k, width) }"),
    ],
    "20 found networks": [
        Law("an override of what the architecture lacks goes", stage("times = 2\n cell in {conv(kernel in {1, 3}), c} per cell\n fine[2].c.k = 3"), 4 * 3, "cell c(width) { k in {1, 3}\n out = x -> conv(k, width) }"),
        Law("texts in lists are quoted", stage('k in {["p", "q"], ["q", "q"]}\n cell = if k[0] == "p" then conv(3) else conv(1)'), 2),
        Law("a route may share with one that is fixed", ROUTES % "cell in {identity, conv(kernel in {1, 3} per cell)} per cell\n coarse[1].cell = conv(3)\n coarse[2].conv.kernel = 3", 27 * (2 * 3 + 3)),
        Law("... also to nothing", FIXED % "cell in {identity, conv(1)} per cell\n coarse[1].cell = identity\n open in {true, false} per branch" + "require r.fine.open", 8 * (1 + 2)),
        Law("a choice within the alternatives of a choice", stage("cell in {conv(kernel in {1, 3}), identity} per branch\n times in 1..2", TWO), ("s1.times", "s1.fine.cell", "s1.coarse.cell", "s1.fine.conv.kernel", "s1.coarse.conv.kernel")),
    ],
    "12 priors": [
        Law("the count knows no priors", WIDTHS + "prior fine.width {8: 1, 16: 2}", 3),
        Law("costs have none", WIDTHS + "prior macs {3: 1}", "E301"),
        Law("weights are static", WIDTHS + "prior fine.width {8: fine.width}", "E301"),
        Law("... not negative", WIDTHS + "prior fine.width {8: -1}", "E301"),
        Law("... not all zero", WIDTHS + "prior fine.width {8: 0}", "E410"),
        Law("a value that no architecture has", WIDTHS + "prior fine.width {9: 1}", "E410"),
        Law("a value stands once", WIDTHS + "prior fine.width {8: 1, 8: 2}", "E402"),
        Law("in a cell", stage("cell = c"), 2, "cell c(width) { k in {1, 3}\n prior k {1: 1, 3: 2}\n out = x -> conv(k, width) }"),
        Law("... with values of its own", stage("cell = c"), "E410", "cell c(width) { k in {1, 3}\n prior k {5: 1}\n out = x -> conv(k, width) }"),
        Law("... and nothing where all is fixed", stage("cell = c(k = 1)"), 1, "cell c(width) { k in {1, 3}\n prior k {3: 2}\n out = x -> conv(k, width) }"),
        Law("not in a stage", stage("cell in {conv(1), conv(3)}\n prior cell {conv: 1}"), "E212"),
    ],
    "13 constraints": [
        Law("`any` of what is not there", DEPTH + "require any([s1.a == 1])", 1),
        Law("`contains` of what is not there", DEPTH + "require contains([s1.a], 1)", 1),
        Law("`count` of what is not there", DEPTH + "require count([s1.a == 1]) == 0", 2),
        Law("any other part does not apply", DEPTH + "require min(s1.a, 3) == 1", 2),
        Law("`or` is one part", DEPTH + "require s1.a == 1 or s1.times == 1", 3),
        Law("cells by number", stage('cell in {conv(3), relu} per cell\n times in 1..2') + 'require s1.fine[3].cell == "conv"', "E305"),
        Law("a label that no alternative has", stage("cell in {conv(3), relu}") + 'require s1.cell == "con"', "E409"),
        Law("two choices by labels", stage("cell in {conv(3), relu}") + "stage s2 on fine { cell in {relu, gelu} }\nrequire s1.cell == s2.cell", 1),
        Law("before the stages in the text", "require s1.times == 1\n" + stage("cell = conv(3)\n times in 1..2"), 1),
    ],
    "14 shapes": [
        Law("constraints on structure exclude what is wrong", "k in {2, 3}\n" + stage("cell = conv(k)") + "require k != 2", 1),
        Law("... those on costs do not", "k in {2, 3}\n" + stage("cell = conv(k)") + "require macs > 3", "E315"),
        Law("windows end before the head", stage("cell = windows(4, 4)"), "E308"),
    ],
    "21 limits": [
        Law("`times` above", stage("cell = relu\n times = 1001"), "E305"),
        Law("`times` below", stage("cell = relu\n times in -1..2"), "E305"),
        Law("values of a domain", stage("cell = conv(1, k)\n k in 1..10001"), "E314"),
        Law("a side of the input", "input = [3, 10001, 3]\n" + stage(""), "E318"),
        Law("numbers of a tensor", stage("cell = conv(1, 8 * 1024 * 1024 * 1024) -> conv(1)"), "E314"),
    ],
}  # fmt: skip


CASES = {f"{section}: {law.says}": law for section, laws in LAWS.items() for law in laws}
VALID = [name for name, law in CASES.items() if not isinstance(law.outcome, str)]


def text_of(law: Law) -> str:
    lines = law.lines
    for name, default in (("input", "[3, 16, 16]"), ("stem", "conv(1, width = 16)"), ("head", "total")):
        if not any(line.startswith(f"{name} =") for line in lines.splitlines()):
            lines = f"{name} = {default}\n{lines}"
    return f"hrdsl 1\n\n{SUM}{law.cells}\n\nspace s {{\n{lines}\n}}\n"


def compiled(law: Law) -> Compiled:
    space = compile_text(text_of(law))
    space.decisions.check()
    return space


@pytest.mark.parametrize("name", CASES)
def test_law(name: str) -> None:
    law = CASES[name]
    if isinstance(law.outcome, str):
        with pytest.raises(ArchError) as raised:
            compiled(law)
        assert [d.code for d in raised.value.found][:1] == [law.outcome]
        return
    space = compiled(law)
    count = space.decisions.count()
    assert count.exact
    if isinstance(law.outcome, tuple):
        assert {d.path for d in space.graph.decisions} == set(law.outcome)
    elif isinstance(law.outcome, int):
        assert count.value == law.outcome
    else:
        sizes = space.costs.one(()) | {"width": space.graph.nodes[space.graph.output].shape.width}
        assert {name: sizes[name] for name in law.outcome} == law.outcome


@pytest.mark.parametrize("name", VALID)
def test_found(name: str) -> None:
    """Each architecture of these spaces is a text with the same nodes and costs."""
    space = compiled(CASES[name])
    for genes in {tuple(g) for g in space.decisions.sample(np.random.default_rng(3), 4).tolist()}:
        again = compile_found(found_text(space, genes), space)
        assert again.graph.decisions == ()
        assert again.costs.one(()) == space.costs.one(genes)
