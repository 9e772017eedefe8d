"""What `train` and `search` blocks may say: one table of settings, read by the check, by the runs and by the help."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from . import errors
from .diagnostic import Diagnostic, Span
from .syntax import Attribute, Binary, Block, Call, Constant, Expr, Fix, ListOf, Name, Number, Unary, Vary

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: `kind` is `whole`, `number`, `flag`, `text`, or `call` (one of `calls`, each with its own options)."""

    kind: str
    default: Any = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    calls: Mapping[str, Mapping[str, "Option"]] = field(default_factory=dict)
    docs: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A setting given as a call: `adamw(lr = 3e-3)`."""

    name: str
    options: Mapping[str, Any]


_OPTIMIZERS = {
    "adamw": {
        "lr": Option("number", Fraction(3, 1000), least=0, docs="peak learning rate"),
        "weight_decay": Option("number", Fraction(1, 100), least=0, docs="decoupled weight decay"),
    },
    "sgd": {
        "lr": Option("number", Fraction(1, 10), least=0, docs="peak learning rate"),
        "momentum": Option("number", Fraction(9, 10), least=0, most=1, docs="Nesterov momentum"),
        "weight_decay": Option("number", Fraction(1, 10_000), least=0, docs="weight decay"),
    },
}
_SAMPLES = {
    "single": {},
    "sandwich": {
        "random": Option("whole", 2, least=0, most=64, docs="random architectures beside the largest and the smallest"),
        "distill": Option("flag", False, docs="the others learn from the largest (in-place distillation)"),
    },
}
_STRATEGIES = {
    "nsga2": {
        "population": Option("whole", 40, least=2, most=100_000, docs="candidates in a generation"),
        "generations": Option("whole", 20, least=1, most=1_000_000, docs="generations, the first included"),
        "crossover": Option("number", Fraction(9, 10), least=0, most=1, docs="probability of two-point crossover"),
        "mutation": Option("number", Fraction(1, 50), least=0, most=1, docs="probability for each decision"),
    },
    "random": {"evaluations": Option("whole", 800, least=1, most=10_000_000, docs="candidates in all")},
}
_DATA = {
    "data": Option("text", "digits.scenes", choices=("digits.scenes", "digits.match"), docs="the data set"),
    "images": Option("whole", 4000, least=1, most=10_000_000, docs="training images"),
}
OPTIONS: dict[str, dict[str, Option]] = {
    "train": {
        **_DATA,
        "sample": Option("call", Chosen("single", {}), calls=_SAMPLES, docs="which architectures a step trains"),
        "optimizer": Option("call", Chosen("adamw", {}), calls=_OPTIMIZERS, docs="the optimiser, one-cycle schedule"),
        "steps": Option("whole", 1500, least=1, most=100_000_000, docs="optimiser steps"),
        "batch": Option("whole", 16, least=1, most=100_000, docs="images in a step"),
        "seed": Option("whole", 0, least=0, docs="seed of weights, batches and samples"),
    },
    "search": {
        "strategy": Option("call", Chosen("nsga2", {}), calls=_STRATEGIES, docs="how candidates are made"),
        "validate": Option("whole", 200, least=1, most=1_000_000, docs="validation images for each candidate"),
        "recalibrate": Option("whole", 64, least=1, most=1_000_000, docs="training images that renew the statistics"),
        "seed": Option("whole", 0, least=0, docs="seed of the search"),
    },
}


ELSEWHERE = {
    **dict.fromkeys(
        ("lr", "learning_rate", "weight_decay", "momentum"),
        "it belongs to the optimizer: `optimizer = adamw(lr = 3e-3)`",
    ),
    **dict.fromkeys(("epochs", "iterations", "max_steps"), "the length is given in optimiser steps: `steps = 1500`"),
    **dict.fromkeys(
        ("population", "generations", "crossover", "mutation"),
        "it belongs to the strategy: `strategy = nsga2(population = 40)`",
    ),
    **dict.fromkeys(("random", "distill"), "it belongs to the sampling: `sample = sandwich(random = 2)`"),
}
"""Where a setting stands that people write at the top."""


def defaults(kind: str) -> Settings:
    """The settings of a block that says nothing."""
    return {name: _complete(option, option.default) for name, option in OPTIONS[kind].items()}


def read_settings(block: Block, found: list[Diagnostic]) -> Settings:
    """The settings of a `train` or `search` block with their defaults; faults go to `found`."""
    options = OPTIONS[block.kind]
    values: dict[str, Any] = dict(defaults(block.kind))
    seen: dict[str, Span] = {}
    for line in block.lines:
        if isinstance(line, Block):
            found.append(errors.unknown_block(line.kind, f"a `{block.kind}` block", line.head, ()))
        elif isinstance(line, Vary):
            found.append(errors.misplaced("`in`", f"a `{block.kind}` block", line.span, "settings are fixed with `=`"))
        elif isinstance(line, Fix):
            name = str(line.target)
            if name in seen:
                found.append(errors.declared_twice(name, line.target.span, seen[name]))
            seen[name] = line.target.span
            if name not in options:
                found.append(
                    errors.unknown_entry(
                        name, f"a `{block.kind}` block", line.target.span, options, ELSEWHERE.get(name)
                    )
                )
            else:
                values[name] = _value(name, options[name], line.value, found)
    return values


def _complete(option: Option, value: Any) -> Any:
    if option.kind != "call":
        return value
    return Chosen(value.name, {name: o.default for name, o in option.calls[value.name].items()})


def _value(name: str, option: Option, expr: Expr, found: list[Diagnostic]) -> Any:
    if option.kind == "call":
        return _call(name, option, expr, found)
    value = constant(expr)
    why = _fault(option, value)
    if why:
        example = str(option.default).lower() if isinstance(option.default, bool) else str(option.default)
        example = next(iter(get_close_matches(str(value), option.choices, 1)), example)
        found.append(errors.bad_setting(name, why, expr.span, example))
    return value


def _call(name: str, option: Option, expr: Expr, found: list[Diagnostic]) -> Any:
    head, args = (expr.function, expr) if isinstance(expr, Call) else (expr, None)
    if not isinstance(head, Name) or head.text not in option.calls:
        found.append(errors.unknown_choice(name, head.span.text, head.span, option.calls))
        return None
    known = option.calls[head.text]
    values = {n: o.default for n, o in known.items()}
    for extra in args.positional if args else ():
        found.append(errors.too_many_arguments(head.text, extra.span, 0))
    for given in args.named if args else ():
        key = str(given.target)
        if key not in known:
            found.append(errors.unknown_argument(key, head.text, given.target.span, known))
        elif isinstance(given, Vary):
            found.append(errors.misplaced("`in`", "a setting", given.span, "settings are fixed with `=`"))
        else:
            values[key] = _value(key, known[key], given.value, found)
    return Chosen(head.text, values)


def _fault(option: Option, value: Any) -> str:
    if option.kind == "whole" and (not isinstance(value, int) or isinstance(value, bool)):
        return "a whole number is needed"
    if option.kind == "number" and (not isinstance(value, int | Fraction) or isinstance(value, bool)):
        return "a number is needed"
    if option.kind == "flag" and not isinstance(value, bool):
        return "`true` or `false` is needed"
    if option.kind == "text" and value not in option.choices:
        return f"one of {', '.join(f'`{c}`' for c in option.choices)} is needed"
    if option.least is not None and value < option.least:
        return f"at least {option.least} is needed"
    if option.most is not None and value > option.most:
        return f"at most {option.most:,} is possible"
    return ""


def constant(expr: Expr) -> Any:
    """The value of an expression without names; a dotted name stands for its text. None if it has no value."""
    match expr:
        case Number(value=value):
            return int(value) if value.denominator == 1 else value
        case Constant(value=plain):
            return plain
        case Name(text=text):
            return text
        case Attribute(base=base, name=name):
            return f"{constant(base)}.{name}"
        case ListOf(items=items):
            return [constant(i) for i in items]
        case Unary(operator="-", operand=operand):
            inner = constant(operand)
            return -inner if isinstance(inner, int | Fraction) else None
        case Binary(operator="/", left=left, right=right):
            over, under = constant(left), constant(right)
            return (
                Fraction(over) / under
                if isinstance(over, int | Fraction) and isinstance(under, int | Fraction) and under
                else None
            )
    return None
