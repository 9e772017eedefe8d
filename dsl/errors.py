"""The catalogue of diagnostics, one function each.

E1xx syntax, E2xx names and modules, E3xx values and shapes, E4xx decisions and constraints, E5xx train and search,
W6xx warnings. A code and its words stand here and nowhere else.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from .diagnostic import Diagnostic, Label, NoSuchName, Span


def near(name: str, known: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """`did you mean ...?`, or the list of what is known, or of a part of it."""
    names = sorted(set(known))
    if "macs" in names and re.fullmatch("[kmg]?flops?", name.lower()):
        return "operations are counted as multiply-accumulates: `macs`"
    lower = {n.lower(): n for n in names}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{lower[close[0]]}`?"
    names = names if listed is None else sorted(set(listed))
    shown = ", ".join(f"`{n}`" for n in names[:24])
    return f"known here: {shown}{', ...' if len(names) > 24 else ''}" if names else ""


# E1xx: syntax ------------------------------------------------------------------------------------------------------


def no_header(span: Span) -> Diagnostic:
    title = "the file does not start with its edition"
    return Diagnostic("E101", title, Label(span), help="begin with the line `hrdsl 1`")


def unknown_edition(span: Span) -> Diagnostic:
    title = "this edition of the language is not known"
    return Diagnostic("E102", title, Label(span), help="this compiler reads `hrdsl 1`")


def unexpected(found: str, wanted: str, span: Span, help: str = "") -> Diagnostic:
    return Diagnostic("E103", f"unexpected {found}", Label(span, f"expected {wanted}"), help=help)


def never_closed(bracket: str, opened: Span, end: Span) -> Diagnostic:
    want = {"(": ")", "[": "]", "{": "}", '"': '"'}[bracket]
    there = (Label(end, f"`{want}` expected here at the latest"),) if end != opened else ()
    return Diagnostic("E104", f"`{bracket}` is never closed", Label(opened, "opened here"), there, f"add `{want}`")


def equals_set(span: Span, name: str, what: str = "a set") -> Diagnostic:
    title = f"`=` takes one value; {what} of values is searched with `in`"
    values = span.text if "\n" not in span.text else "{...}"
    return Diagnostic("E105", title, Label(span, what), help=f"write `{name} in {values}`")


def bad_number(text: str, span: Span, why: str) -> Diagnostic:
    help = "numbers: `3`, `0.5`, `1e-4`, `600M`, `4Ki`, `12ms`"
    return Diagnostic("E106", f"`{text}` is not a number", Label(span, why), help=help)


def bad_character(text: str, span: Span, help: str = "remove it") -> Diagnostic:
    shown = text if text.isprintable() else f"U+{ord(text):04X}"
    return Diagnostic("E107", f"`{shown}` is no character of the language", Label(span), help=help)


def not_text(span: Span, why: str) -> Diagnostic:
    help = "remove it, or save the file as plain UTF-8 text"
    return Diagnostic("E108", "the file holds a character that cannot be seen", Label(span, why), help=help)


def too_deep(span: Span, limit: int) -> Diagnostic:
    return Diagnostic("E109", f"nested deeper than {limit} levels", Label(span), help="give the inner parts names")


def reserved(word: str, span: Span) -> Diagnostic:
    title = f"`{word}` is a word of the language"
    return Diagnostic("E110", title, Label(span, "cannot be a name"), help=f"choose another name, such as `{word}_`")


def one_per_line(span: Span) -> Diagnostic:
    return Diagnostic("E111", "one entry per line", Label(span, "this starts another"), help="put it on its own line")


def chained_comparison(span: Span, first: Span, rewritten: str) -> Diagnostic:
    there = (Label(first, "the first comparison"),)
    label = Label(span, "the second comparison")
    return Diagnostic("E112", "comparisons do not chain", label, there, help=f"write `{rewritten}`")


def too_long(span: Span, length: int, limit: int) -> Diagnostic:
    title = f"the file is too long: {length:,} characters, at most {limit:,}"
    return Diagnostic("E113", title, Label(span), help="move parts of it into modules and `use` them")


def foreign(text: str, span: Span, help: str) -> Diagnostic:
    return Diagnostic("E114", f"`{text}` belongs to another language", Label(span), help=help)


# E2xx: names and modules -------------------------------------------------------------------------------------------


def unknown_name(
    name: str,
    kind: str,
    span: Span,
    known: Iterable[str],
    where: str = "",
    listed: Iterable[str] | None = None,
    cell: bool = False,
) -> Diagnostic:
    """`listed` are those of the known names that are shown where none is close; `cell`: it stands in a cell."""
    help = near(name, known, listed) or "declare it, or give it as a parameter"
    if cell and not help.startswith("did you mean"):
        help += "; a cell sees nothing else: a name of the place of use has to be one of its parameters"
    return Diagnostic("E201", f"unknown {kind} `{name}`{where}", Label(span, "not declared"), help=help)


def declared_twice(name: str, span: Span, first: Span) -> Diagnostic:
    there = (Label(first, "first declared here"),)
    help = "remove one of them, or rename it"
    return Diagnostic("E202", f"`{name}` is declared twice", Label(span), there, help=help)


def unknown_block(kind: str, where: str, span: Span, known: Iterable[str]) -> Diagnostic:
    return Diagnostic("E203", f"`{kind}` is no block of {where}", Label(span), help=near(kind, known))


def unknown_entry(name: str, where: str, span: Span, known: Iterable[str], hint: str | None = None) -> Diagnostic:
    return Diagnostic("E204", f"{where} has no entry `{name}`", Label(span), help=hint or near(name, known))


def missing_entry(name: str, where: str, span: Span, example: str) -> Diagnostic:
    shown = name if name.startswith("a ") else f"`{name}`"
    return Diagnostic("E205", f"{where} lacks {shown}", Label(span), help=f"add `{example}`")


def no_such_name(where: str, kind: str, name: str, known: Iterable[str]) -> NoSuchName:
    return NoSuchName(f"{where} has no {kind} `{name}`; {near(name, known) or 'it has none at all'}")


def no_run(kind: str, space: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E205", f"space `{space}` lacks a `{kind}` block", Label(span), help=f"add `{kind} some_name for {space} {{ }}`"
    )


def no_module(path: str, span: Span, known: Iterable[str]) -> Diagnostic:
    return Diagnostic("E206", f"no module `{path}`", Label(span), help=near(path, known))


def cyclic_use(chain: tuple[str, ...], span: Span, back: Span) -> Diagnostic:
    return Diagnostic(
        "E207",
        "modules use each other in a circle",
        Label(span, " -> ".join(chain)),
        (Label(back, "the circle closes here"),) if back != span else (),
        help="move what both need into a third module",
    )


def unknown_argument(name: str, callee: str, span: Span, known: Iterable[str]) -> Diagnostic:
    return Diagnostic("E208", f"`{callee}` has no parameter `{name}`", Label(span), help=near(name, known))


def missing_argument(name: str, callee: str, span: Span, meant: Span | None = None) -> Diagnostic:
    """`meant` is an entry with nearly this name."""
    title = f"`{callee}` needs `{name}`"
    if meant is not None:
        label, there = Label(meant, f"nothing reads `{meant.text}`"), (Label(span, f"`{name}` is needed here"),)
        return Diagnostic("E209", title, label, there, f"did you mean `{name}`?")
    help = f"write `{callee}({name} = ...)` or set `{name}` in the branch or the stage"
    return Diagnostic("E209", title, Label(span, f"no `{name}` is given, and none is in scope"), help=help)


def missing_parameter(name: str, space: str, span: Span) -> Diagnostic:
    help = f"give it a default, `{name} = 10`, or a value on the command line, `--set {name}=10`"
    return Diagnostic(
        "E216", f"`{space}` needs `{name}`", Label(span, "it has no default, and none is given"), help=help
    )


def too_many_arguments(callee: str, span: Span, most: int) -> Diagnostic:
    return Diagnostic(
        "E210",
        f"`{callee}` takes at most {most} arguments in order",
        Label(span, "one too many"),
        help="name the others",
    )


def recursive(name: str, span: Span) -> Diagnostic:
    help = "give it a value that does not use it"
    return Diagnostic("E211", f"`{name}` is defined by itself", Label(span, f"this needs `{name}`"), help=help)


def misplaced(what: str, where: str, span: Span, help: str) -> Diagnostic:
    return Diagnostic("E212", f"{what} cannot stand in {where}", Label(span), help=help)


def unused_override(path: str, span: Span, known: Iterable[str]) -> Diagnostic:
    help = near(path, known) or "name a place and an entry that is read there, such as `s2.fine.times`"
    return Diagnostic("E213", f"`{path}` names nothing in this space", Label(span), help=help)


def outside_root(path: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E214",
        f"`{path}` lies outside the folders that may be read",
        Label(span),
        help="move it below the file that uses it",
    )


def not_used(name: str, path: str, span: Span) -> Diagnostic:
    title = f"the module `{name}` is not used in this file"
    return Diagnostic("E215", title, Label(span), help=f"add `use {path}` at the top")


def recursive_cell(name: str, span: Span, chain: tuple[str, ...]) -> Diagnostic:
    """`chain` leads from the cell back to itself."""
    why = "it is used within its own body" if len(chain) < 3 else " -> ".join(chain)
    help = "cells expand fully and cannot recur: for several in a row, use `repeat(cell, times = n)`"
    return Diagnostic("E217", f"cell `{name}` contains itself", Label(span, why), help=help)


def given_twice(name: str, span: Span, first: Span) -> Diagnostic:
    there = (Label(first, "first given here"),)
    return Diagnostic("E218", f"`{name}` is given twice", Label(span), there, help="remove one of them")


def faulty_package(package: str, what: str, why: str, span: Span) -> Diagnostic:
    """An installed package that extends the language, and does it wrongly."""
    title = f"{what} of the package `{package}` cannot be used"
    help = f"mend the package, or remove it: `pip uninstall {package}`"
    return Diagnostic("E219", title, Label(span, why), help=help)


# E3xx: values and shapes -------------------------------------------------------------------------------------------


def wrong_kind(got: str, want: str, span: Span, help: str = "") -> Diagnostic:
    return Diagnostic("E301", f"this is {got}, not {want}", Label(span), help=help or f"give {want}")


def wrong_unit(got: str, want: str, span: Span, other: Span) -> Diagnostic:
    there = (Label(other, f"this is {want}"),) if other != span else ()
    example = {
        "a time": ", such as `12ms`",
        "a number of bytes": ", such as `512Ki`",
        "a plain number": ", such as `60M`",
    }
    help = f"compare with {want}{example.get(want, '')}"
    return Diagnostic("E302", "these two have different units", Label(span, f"this is {got}"), there, help=help)


def divided_by_zero(span: Span) -> Diagnostic:
    return Diagnostic("E303", "division by zero", Label(span), help="change the divisor")


def _used(span: Span, used: Span) -> tuple[Label, ...]:
    """Where a value is used, if it was written elsewhere."""
    inside = used.source is span.source and used.start <= span.start and span.stop <= used.stop
    return () if inside else (Label(used, "used here"),)


def not_whole(name: str, value: str, span: Span, example: str, used: Span) -> Diagnostic:
    return Diagnostic(
        "E304",
        f"`{name}` must be a whole number",
        Label(span, f"it is {value}{example}"),
        _used(span, used),
        help="choose values that divide, or round down with `//`",
    )


def out_of_range(name: str, value: str, want: str, span: Span, used: Span | None = None) -> Diagnostic:
    there = _used(span, used or span)
    help = f"give a value that is {want}"
    return Diagnostic("E305", f"`{name}` must be {want}", Label(span, f"it is {value}"), there, help)


def width_mismatch(first: str, second: str, used: Span, form: str, example: str) -> Diagnostic:
    last = "conv(1, width = ...)" if form == "map" else "linear(width = ...)"
    return Diagnostic(
        "E306",
        "these flows cannot be joined: their widths differ",
        Label(used, f"{first} and {second} wide{example}"),
        help=f"end one of them with `{last}`, or give both the same `width`",
    )


def size_mismatch(what: str, first: str, second: str, used: Span, example: str, windows: bool = False) -> Diagnostic:
    """`windows`: the sizes are numbers of windows."""
    unit, help = "", "bring one to the size of the other: `x -> resize(other)`"
    if windows:
        unit, help = " windows", "cut both alike, or join the windows by `from_windows` first"
    title = f"these flows cannot be {what}: their sizes differ"
    return Diagnostic("E307", title, Label(used, f"{first} and {second}{unit}{example}"), help=help)


def wrong_form(operator: str, got: str, want: str, span: Span, help: str = "") -> Diagnostic:
    return Diagnostic(
        "E308", f"`{operator}` takes {want}", Label(span, f"this is {got}"), help=help or f"give it {want}"
    )


def not_divisible(operator: str, what: str, value: str, by: str, span: Span, example: str, used: Span) -> Diagnostic:
    title = f"`{operator}`: {what} must be divisible by {by}"
    label = Label(span, f"{what} is {value}{example}")
    return Diagnostic("E309", title, label, _used(span, used), "change one of the two")


def not_odd(name: str, value: str, span: Span, example: str, used: Span) -> Diagnostic:
    help = "choose odd sizes, such as 3 or 5: the window lies around its middle"
    label = Label(span, f"it is {value}{example}")
    return Diagnostic("E315", f"`{name}` must be odd", label, _used(span, used), help)


def no_flow(span: Span, example: str = "") -> Diagnostic:
    return Diagnostic(
        "E310",
        "nothing flows here",
        Label(span, f"the network has no output{example}" if example else "every alternative is `none`"),
        help="keep at least one alternative that is not `none`",
    )


def stride_mismatch(branch: str, declared: str, got: str, span: Span, place: Span) -> Diagnostic:
    return Diagnostic(
        "E311",
        f"branch `{branch}` is declared at {declared}, its flow is at {got}",
        Label(span),
        (Label(place, "the branch"),) if place != span else (),
        help="change the strides of the stem or of the stage, or the branch's place",
    )


def no_attribute(name: str, kind: str, span: Span, known: Iterable[str], meant: Span | None = None) -> Diagnostic:
    """`meant` is an entry with nearly this name."""
    if meant is not None:
        there = (Label(span, f"`{name}` is needed here"),)
        return Diagnostic("E312", f"{kind} has no `{name}`", Label(meant), there, f"did you mean `{name}`?")
    return Diagnostic("E312", f"{kind} has no `{name}`", Label(span), help=near(name, known))


def not_an_operation(operator: str, left: str, right: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E313", f"`{operator}` is not defined for {left} and {right}", Label(span), help="convert one of the two"
    )


def too_large(what: str, count: str, limit: int, span: Span) -> Diagnostic:
    return Diagnostic(
        "E314", f"{what} is too large", Label(span, f"{count}, at most {limit:,}"), help="make it smaller"
    )


def unknown_value(name: str, value: str, span: Span, known: Iterable[str]) -> Diagnostic:
    return Diagnostic("E316", f"`{name}` cannot be `{value}`", Label(span), help=near(value, known))


def bad_place(got: str, span: Span, example: str) -> Diagnostic:
    title = "the place of a branch is a fraction `1/n` of the input's size"
    return Diagnostic("E317", title, Label(span, f"this is {got}"), help=f"write `at {example}`")


def bad_input(got: str, span: Span) -> Diagnostic:
    title = "`input` is a size `[channels, height, width]`"
    return Diagnostic("E318", title, Label(span, f"this is {got}"), help="for example `input = [3, 224, 224]`")


def too_much_work(limit: int, span: Span) -> Diagnostic:
    title = f"the space takes more than {limit:,} steps to evaluate"
    return Diagnostic("E319", title, Label(span, "the last of them"), help="make lists, domains or repetitions smaller")


# E4xx: decisions and constraints -----------------------------------------------------------------------------------


def not_halving(branch: str, place: str, before: str, span: Span) -> Diagnostic:
    title = f"branch `{branch}` does not halve the resolution of the branch before it"
    help = "the branches of `routes` stand at 1/n, 1/2n, 1/4n, in this order"
    return Diagnostic("E321", title, Label(span, f"it is at {place}, the one before at {before}"), help=help)


def bad_layers(branch: str, layers: int, example: str, span: Span) -> Diagnostic:
    title = f"the route to `{branch}` cannot halve in these layers{example}"
    help = f"give different layers from 1 to {layers - 1}, the lowest first: `subsets(range(1, layers), halvings)`"
    return Diagnostic("E322", title, Label(span), help=help)


def cannot_halve(route: str, layer: int, span: Span) -> Diagnostic:
    title = f"route `{route}` halves in layer {layer}, but no cell there can"
    help = "give the cell a parameter `stride = 1` and use it; `routes` passes 2 where a route halves"
    return Diagnostic("E324", title, Label(span), help=help)


def wrong_length(name: str, got: int, want: int, span: Span) -> Diagnostic:
    label = Label(span, f"a list of {got}, for {want} branch{'es' if want != 1 else ''}")
    return Diagnostic(
        "E323", f"`{name}` needs one value for each branch", label, help="write one value, or one for each"
    )


def empty_domain(span: Span) -> Diagnostic:
    return Diagnostic(
        "E401", "this domain is empty", Label(span), help="name at least one value; `first .. last` needs first <= last"
    )


def repeated_value(value: str, span: Span, first: Span) -> Diagnostic:
    return Diagnostic(
        "E402", f"{value} stands twice in this domain", Label(span), (Label(first, "first here"),), help="remove one"
    )


def never_met(span: Span, why: str, parts: tuple[Label, ...] = ()) -> Diagnostic:
    return Diagnostic(
        "E403",
        "no architecture meets this constraint",
        Label(span, why),
        parts,
        help="widen a domain or relax the constraint",
    )


def not_static(what: str, span: Span, decision: str) -> Diagnostic:
    return Diagnostic(
        "E404",
        f"{what} cannot be searched",
        Label(span, f"it depends on the decision `{decision}`"),
        help="fix it with `=`",
    )


def never_met_together(spans: tuple[Span, ...], proven: bool) -> Diagnostic:
    searched = "" if proven else "none was found; there are too many to look at all"
    return Diagnostic(
        "E405",
        "no architecture meets these constraints together",
        Label(spans[-1], searched or "without any one of them there are some"),
        tuple(Label(s, "and this") for s in spans[:-1]),
        help="relax one of them",
    )


def between(name: str, low: str, high: str, where: str = "") -> str:
    """The range of a part of a constraint, in words."""
    return f"{name} is {low}" if low == high else f"{name} lies between {low} and {high}{where}"


def one_of(name: str, values: Iterable[str]) -> str:
    """What a part of a constraint can be, in words."""
    return f"{name} is one of {', '.join(values)}"


def parts(found: Iterable[str]) -> str:
    """What the parts of a constraint can be, for its label."""
    return ", ".join(found) or "it is false for every choice"


def outside_domain(path: str, value: str, span: Span, declared: Span, allowed: str) -> Diagnostic:
    return Diagnostic(
        "E406",
        f"{value} is not in the domain of `{path}`",
        Label(span),
        (Label(declared, f"allowed: {allowed}"),),
        help=f"choose from {allowed}",
    )


def undecided_constraint(span: Span) -> Diagnostic:
    return Diagnostic(
        "E407", "a constraint must be true or false", Label(span, "this is a value"), help="compare it with something"
    )


def wrong_granularity(per: str, where: str, span: Span, known: Iterable[str]) -> Diagnostic:
    help = near(per, known) or "nothing smaller reads it: leave `per` out"
    return Diagnostic("E408", f"a decision of {where} cannot be `per {per}`", Label(span), help=help)


def bad_prior(why: str, span: Span, help: str) -> Diagnostic:
    return Diagnostic("E410", f"this prior cannot be followed: {why}", Label(span), help=help)


def unknown_label(label: str, span: Span, known: Iterable[str]) -> Diagnostic:
    return Diagnostic("E409", f"no alternative is called `{label}`", Label(span), help=near(label, known))


# E5xx: train and search --------------------------------------------------------------------------------------------


def bad_setting(name: str, why: str, span: Span, example: str) -> Diagnostic:
    return Diagnostic("E501", f"`{name}`: {why}", Label(span), help=f"for example `{name} = {example}`")


def unknown_objective(name: str, span: Span, known: Iterable[str]) -> Diagnostic:
    return Diagnostic("E502", f"unknown objective `{name}`", Label(span), help=near(name, known))


def nothing_to_search(space: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E503", f"space `{space}` holds no decision", Label(span), help="open one with `in`, or use `hrdsl retrain`"
    )


def unknown_choice(setting: str, name: str, span: Span, known: Iterable[str]) -> Diagnostic:
    return Diagnostic("E504", f"no {setting} is called `{name}`", Label(span), help=near(name, known))


def several_heads(kind: str, space: str, span: Span) -> Diagnostic:
    help = "training and search take a space with one `head`; compile and export take several"
    return Diagnostic("E505", f"`{kind}` takes one head, space `{space}` has several", Label(span), help=help)


def latency_of_space(span: Span) -> Diagnostic:
    help = "a space is the same on every machine: bound the latency in a `search` block"
    return Diagnostic("E506", "only a search knows a latency", Label(span), help=help)


def latency_limit(span: Span) -> Diagnostic:
    help = "limits are checked before anything is measured: write `latency = table`"
    return Diagnostic("E507", "a limit on the latency needs a table", Label(span), help=help)


def nothing_to_prune(space: str, span: Span, refused: Iterable[tuple[str, Span, str, Span]]) -> Diagnostic:
    """`refused`: decisions by path with the place that opens them, why they cannot be pruned, and the place that reads them."""
    there: list[Label] = []
    for path, declared, reason, read in list(refused)[:4]:
        there += [Label(declared, f"`{path}`{'' if declared != read else f': {reason}'}")]
        there += [Label(read, reason)] if declared != read else []
    help = "a number of channels or tokens is needed that the space opens: `width in 8..64`"
    return Diagnostic("E508", f"space `{space}` has nothing that can be pruned", Label(span), tuple(there), help)


def unreachable_cost(cost: str, wanted: float, lowest: float, span: Span, required: Iterable[Span] = ()) -> Diagnostic:
    """`required`: what has to hold besides."""
    there = tuple(Label(place, "this has to hold too") for place in list(required)[:4])
    help = f"with the fewest units that have to stay `{cost}` is {lowest:,.0f}: ask for that much, or let more units go"
    return Diagnostic("E509", f"pruning cannot bring `{cost}` down to {wanted:,.0f}", Label(span), there, help)


def no_cost_of(cost: str, place: str, span: Span, branch: str, known: Iterable[str]) -> Diagnostic:
    """`branch`: one that has the `known` costs."""
    names = " and ".join(f"`{branch}.{name}`" for name in known)
    help = f"the network has `{cost}`; a branch of the space has {names}"
    return Diagnostic("E510", f"`{place}` has no `{cost}` of its own", Label(span), help=help)


# W6xx: warnings ----------------------------------------------------------------------------------------------------


def one_value(path: str, span: Span) -> Diagnostic:
    return Diagnostic("W601", f"`{path}` has one possible value", Label(span), help="write `=` if it is decided")


def never_read(path: str, span: Span) -> Diagnostic:
    return Diagnostic("W602", f"nothing reads `{path}`", Label(span), help="remove it, or use it in a cell")


def always_met(span: Span) -> Diagnostic:
    return Diagnostic("W603", "every architecture meets this constraint", Label(span), help="remove it, or tighten it")


def dead(kind: str, name: str, span: Span) -> Diagnostic:
    help = "remove it, or read its flow in a later stage or in the head"
    return Diagnostic("W604", f"nothing of {kind} `{name}` reaches the output", Label(span), help=help)


def unused(kind: str, name: str, span: Span) -> Diagnostic:
    return Diagnostic("W605", f"nothing uses the {kind} `{name}`", Label(span), help="remove it, or use it")


def unread(name: str, where: str, span: Span, known: Iterable[str]) -> Diagnostic:
    close = near(name, known)
    help = close if close.startswith("did") else "remove it, or use it"
    return Diagnostic("W606", f"nothing reads the entry `{name}` of {where}", Label(span), help=help)
