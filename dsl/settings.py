"""What `train` and `search` blocks may say: one table of settings, read by the check, by the runs and by the help."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from . import errors
from .diagnostic import Diagnostic, Span
from .syntax import Attribute, Binary, Block, Call, Constant, Expr, Fix, ListOf, Name, Number, Unary, Vary

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: `kind` is `whole`, `number`, `numbers` (a list), `flag`, `text`, `expression` (not evaluated here), or
    `call` (one of `calls`, each with its own options)."""

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


PRECISIONS = ("auto", "float32", "bfloat16")
_OPTIMIZERS = {
    "adamw": {
        "lr": Option("number", Fraction(3, 1000), least=0, docs="peak learning rate"),
        "weight_decay": Option("number", Fraction(1, 100), least=0, docs="decoupled weight decay"),
        "eps": Option("number", Fraction(1, 10**8), least=0, docs="added to the root of the second moment"),
    },
    "sgd": {
        "lr": Option("number", Fraction(1, 10), least=0, docs="peak learning rate"),
        "momentum": Option("number", Fraction(9, 10), least=0, most=1, docs="Nesterov momentum"),
        "weight_decay": Option("number", Fraction(1, 10_000), least=0, docs="weight decay"),
    },
}
_PRIORS = Option("flag", True, docs="draw by the priors of the space; otherwise uniformly")
_SAMPLES = {
    "single": {"priors": _PRIORS},
    "sandwich": {
        "random": Option("whole", 2, least=0, most=64, docs="random architectures beside the largest and the smallest"),
        "distill": Option("flag", False, docs="the others learn from the largest (in-place distillation)"),
        "operators": Option("text", "each", choices=("each", "same"), docs="same: cells are drawn once for a step"),
        "decay": Option("text", "all", choices=("all", "largest"), docs="what gets weight decay"),
        "priors": _PRIORS,
    },
    "fair": {},
}
_SCHEDULES = {
    "one_cycle": {"warm": Option("number", Fraction(1, 10), least=0, most=1, docs="share of the steps that warm up")},
    "cosine": {"warm": Option("number", 0, least=0, most=1, docs="share of the steps that warm up")},
    "exponential": {
        "factor": Option("number", Fraction(992, 1000), least=0, most=1, docs="of the rate, each time"),
        "every": Option("whole", 1, least=1, most=100_000_000, docs="steps between two times"),
        "warm": Option("number", 0, least=0, most=1, docs="share of the steps that warm up"),
    },
    "poly": {
        "power": Option("number", Fraction(9, 10), least=0, most=100, docs="of the share of steps that are left"),
        "warm": Option("number", 0, least=0, most=1, docs="share of the steps that warm up"),
    },
    "constant": {"warm": Option("number", 0, least=0, most=1, docs="share of the steps that warm up")},
}
_POPULATION = Option("whole", 40, least=2, most=100_000, docs="candidates in a generation")
_BUDGET = Option("whole", 800, least=1, most=10_000_000, docs="candidates in all")
_PAIRING = Option("text", "two_point", choices=("two_point", "uniform"), docs="which decisions a pair swaps")
_EVOLUTION = {
    "population": _POPULATION,
    "generations": Option("whole", 20, least=1, most=1_000_000, docs="generations, the first included"),
    "crossover": Option("number", Fraction(9, 10), least=0, most=1, docs="probability that a pair swaps decisions"),
    "mutation": Option("number", Fraction(1, 50), least=0, most=1, docs="probability for each decision"),
    "pairing": _PAIRING,
}
_PRICES = ("macs", "parameters", "peak_activation_bytes", "latency_ms")
_IMPORTANCE = ("factors", "magnitude", "taylor")
_STRATEGIES = {
    "nsga2": {
        **_EVOLUTION,
        "weights": Option("numbers", (), least=0, docs="of the goals in the crowding distance; none: all 1"),
        "ceiling": Option("flag", False, docs="nothing costlier than the costliest survivor is evaluated"),
    },
    "nsga3": _EVOLUTION,
    "aging": {
        "population": Option("whole", 40, least=2, most=100_000, docs="candidates that may become parents"),
        "evaluations": _BUDGET,
        "children": Option("whole", 10, least=1, most=100_000, docs="candidates in each generation but the first"),
        "tournament": Option("whole", 10, least=1, most=100_000, docs="candidates of which the best becomes a parent"),
        "crossover": Option("number", 0, least=0, most=1, docs="probability that a child has two parents"),
        "mutation": Option("number", Fraction(1, 20), least=0, most=1, docs="probability for each decision"),
        "pairing": _PAIRING,
        "keep": Option("number", 0, least=0, most=1, docs="best share of the population that does not age"),
    },
    "local": {"population": _POPULATION, "evaluations": _BUDGET},
    "random": {"evaluations": _BUDGET},
    "prune": {
        "to": Option("numbers", (), least=0, most=1, docs="shares of the cost to reach; none: its limit, else a half"),
        "cost": Option("text", "macs", choices=_PRICES, docs="the cost that is meant"),
        "every": Option("whole", 50, least=1, most=100_000_000, docs="steps between two removals"),
        "warm": Option("number", Fraction(1, 4), least=0, most=1, docs="share of the steps before the first removal"),
        "tune": Option("number", Fraction(1, 4), least=0, most=1, docs="share of the steps after the last removal"),
        "strength": Option("number", Fraction(1, 5000), least=0, docs="of the pull on units, at first"),
        "importance": Option("text", "factors", choices=_IMPORTANCE, docs="what tells how much a unit matters"),
        "keep": Option("number", 0, least=0, most=1, docs="share of each group of units that stays"),
        "rule": Option("text", "budget", choices=("budget", "faded"), docs="what goes: down to a cost, or what faded"),
        "multiple": Option("whole", 1, least=1, most=1_024, docs="of channels or tokens that groups are left with"),
    },
    "exhaustive": {"most": Option("whole", 10_000, least=1, most=10_000_000, docs="more architectures are refused")},
}
_CONDITIONS = {
    "batch": Option("whole", 1, least=1, most=100_000, docs="images at once"),
    "threads": Option("whole", 1, least=1, most=1_024, docs="of the processor"),
    "device": Option("text", "same", choices=("same", "cpu", "cuda"), docs="same: that of the search"),
    "precision": Option("text", "float32", choices=("float32", "bfloat16", "float16"), docs="in which networks run"),
}
_LATENCIES = {
    "table": {
        **_CONDITIONS,
        "seconds": Option(
            "number", Fraction(1, 20), least=0, most=3_600, docs="for each work; a network takes ten times"
        ),
        "works": Option("whole", 1000, least=1, most=1_000_000, docs="most works measured; others are interpolated"),
        "correct": Option("whole", 8, least=0, most=10_000, docs="whole networks that correct the table"),
        "hold": Option("whole", 8, least=0, most=10_000, docs="whole networks that its error is taken on"),
    },
    "measured": {**_CONDITIONS, "seconds": Option("number", 1, least=0, most=3_600, docs="for each network")},
}
LATENCY = _LATENCIES["table"]
"""What a table of latencies can be asked for."""
_DATA = {
    "data": Option("text", "digits.scenes", choices=("digits.scenes", "digits.match"), docs="the data set"),
    "images": Option("whole", 4000, least=1, most=10_000_000, docs="training images"),
}
_RACES: dict[str, dict[str, Option]] = {
    "none": {},
    "paired": {
        "error": Option(
            "number", Fraction(1, 100), least=0.0001, most=0.5, docs="of those stopped, how many may survive"
        ),
        "chunk": Option("whole", 50, least=50, most=1_000_000, docs="images before the first decision"),
    },
}
OPTIONS: dict[str, dict[str, Option]] = {
    "train": {
        **_DATA,
        "sample": Option("call", Chosen("single", {}), calls=_SAMPLES, docs="which architectures a step trains"),
        "widen": Option("whole", 1, least=1, most=100, docs="phases in which the space opens, the largest first"),
        "optimizer": Option("call", Chosen("adamw", {}), calls=_OPTIMIZERS, docs="the optimiser"),
        "schedule": Option("call", Chosen("one_cycle", {}), calls=_SCHEDULES, docs="the learning rate over the steps"),
        "label_smoothing": Option("number", 0, least=0, most=1, docs="share of a label that goes to all classes"),
        "clip": Option("number", 0, least=0, docs="longest gradient of a step; 0: any"),
        "ema": Option("number", 0, least=0, most=1, docs="weights are averaged, and keep this share; 0: they are not"),
        "precision": Option("text", "auto", choices=PRECISIONS, docs="auto: bfloat16 on CUDA"),
        "compile": Option("flag", False, docs="steps run through `torch.compile`"),
        "steps": Option("whole", 1500, least=1, most=100_000_000, docs="optimiser steps"),
        "batch": Option("whole", 16, least=1, most=100_000, docs="images in a step"),
        "accumulate": Option("whole", 1, least=1, most=100_000, docs="equal parts of the batch, one after the other"),
        "seed": Option("whole", 0, least=0, docs="seed of weights, batches and samples"),
    },
    "search": {
        "strategy": Option("call", Chosen("nsga2", {}), calls=_STRATEGIES, docs="how candidates are made"),
        "split": Option("expression", None, docs="a search of its own for each value that this takes in the space"),
        "validate": Option("whole", 200, least=1, most=1_000_000, docs="validation images for each candidate"),
        "recalibrate": Option("whole", 64, least=1, most=1_000_000, docs="training images that renew the statistics"),
        "latency": Option("call", Chosen("table", {}), calls=_LATENCIES, docs="how `latency_ms` is found"),
        "share": Option("flag", True, docs="what candidates of a generation compute alike is computed once"),
        "fold": Option("flag", True, docs="candidates are measured with statistics folded into weights, channels last"),
        "precision": Option("text", "float32", choices=PRECISIONS[1:], docs="in which candidates are measured"),
        "race": Option(
            "call", Chosen("none", {}), calls=_RACES, docs="whether candidates that will not survive stop early"
        ),
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
        ("population", "generations", "crossover", "mutation", "pairing", "evaluations", "weights", "ceiling"),
        "it belongs to the strategy: `strategy = nsga2(population = 40)`",
    ),
    **dict.fromkeys(
        ("random", "distill", "operators", "decay", "priors"),
        "it belongs to the sampling: `sample = sandwich(random = 2)`",
    ),
    **dict.fromkeys(("threads", "device", "hold"), "it belongs to the latency: `latency = table(threads = 1)`"),
    **dict.fromkeys(
        ("warm", "warmup", "factor", "every", "power"), "it belongs to the schedule: `schedule = cosine(warm = 1/10)`"
    ),
}
"""Where a setting stands that people write at the top."""


def defaults(kind: str) -> Settings:
    """The settings of a block that says nothing."""
    plain = ((name, option) for name, option in OPTIONS[kind].items() if option.kind != "expression")
    return {name: _complete(option, option.default) for name, option in plain}


def split_of(block: Block) -> Expr | None:
    """The expression that splits a search, which is no constant and so no setting."""
    lines = (line for line in block.lines if isinstance(line, Fix) and str(line.target) == "split")
    return next((line.value for line in lines if block.kind == "search"), None)


def completed(kind: str, given: Settings) -> Settings:
    """Settings with the defaults of what they leave out, also within calls."""
    filled = {n: _filled(OPTIONS[kind][n], value) if n in OPTIONS[kind] else value for n, value in given.items()}
    return {**defaults(kind), **filled}


def _filled(option: Option, value: Any) -> Any:
    if not isinstance(value, Chosen):
        return value
    return Chosen(value.name, {**_complete(option, value).options, **value.options})


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
            elif options[name].kind != "expression":
                values[name] = _value(name, options[name], line.value, found)
    if block.kind == "train":
        _divide(values, seen, found)
    return values


def _divide(values: Mapping[str, Any], seen: Mapping[str, Span], found: list[Diagnostic]) -> None:
    """A batch has equal parts."""
    batch, parts = values["batch"], values["accumulate"]
    if isinstance(batch, int) and isinstance(parts, int) and 0 < parts and batch % parts:
        where = seen.get("accumulate") or seen["batch"]
        fits = max(n for n in range(1, parts) if batch % n == 0)
        found.append(errors.bad_setting("accumulate", f"it has to divide the batch of {batch}", where, str(fits)))


def _complete(option: Option, value: Any) -> Any:
    if option.kind != "call":
        return value
    return Chosen(value.name, {name: o.default for name, o in option.calls[value.name].items()})


def _value(name: str, option: Option, expr: Expr, found: list[Diagnostic]) -> Any:
    if option.kind == "call":
        return _call(name, option, expr, found)
    value = constant(expr)
    if option.kind == "numbers" and isinstance(value, list):
        value = tuple(value)
    why = _fault(option, value)
    if why:
        example = str(option.default).lower() if isinstance(option.default, bool) else str(option.default)
        example = next(iter(get_close_matches(str(value), option.choices, 1)), example if example != "()" else "[2, 1]")
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
    if option.kind == "numbers":
        return _list_fault(option, value)
    if option.kind == "flag" and not isinstance(value, bool):
        return "`true` or `false` is needed"
    if option.kind == "text" and value not in option.choices:
        return f"one of {', '.join(f'`{c}`' for c in option.choices)} is needed"
    if option.least is not None and value < option.least:
        return f"at least {option.least} is needed"
    if option.most is not None and value > option.most:
        return f"at most {option.most:,} is possible"
    return ""


def _list_fault(option: Option, value: Any) -> str:
    """Why a value is no list of numbers within the bounds of an option."""
    if not isinstance(value, tuple):
        return "a list of numbers is needed"
    return next(filter(None, (_fault(replace(option, kind="number"), v) for v in value)), "")


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


def strategy(name: str, **given: Any) -> Chosen:
    """A strategy of a search with its defaults, and what is given instead."""
    options = {key: option.default for key, option in _STRATEGIES[name].items()}
    return Chosen(name, {**options, **given})
