"""Parts of a text on one line, in the canonical form, and the rows into which long ones break.

`flat` puts only those parentheses that the grammar needs. A part that is too long breaks into rows: a word, a part, and
how tightly that part must bind. Syntax tree in, text or rows out; imports the syntax tree alone.
"""

from collections.abc import Callable, Sequence

from .syntax import (
    Attribute,
    Binary,
    Block,
    Call,
    Chain,
    Clause,
    Comprehension,
    Constant,
    Domain,
    Expr,
    Fix,
    Goal,
    If,
    Index,
    Interval,
    Listed,
    ListOf,
    Members,
    Name,
    Number,
    Parameter,
    Prior,
    Require,
    Syntax,
    Unary,
    Vary,
    Weight,
)

ANY, CHAIN, OR, AND, NOT, COMPARE, SUM, PRODUCT, UNARY, POSTFIX = range(10)
"""How tightly a part binds, the loosest first."""
Part = Expr | Fix | Vary | Parameter | Weight
Row = tuple[str, Part, int]
"""The word before a part, the part, and how tightly it must bind to stand without parentheses."""
_LEVELS = {
    "or": OR,
    "and": AND,
    **dict.fromkeys(("<=", ">=", "==", "!=", "<", ">"), COMPARE),
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "//", "%"), PRODUCT),
}


def flat(part: Part | Domain, least: int = ANY) -> str:
    """A part on one line; in parentheses if it binds less tightly than `least`."""
    text = _FLAT[type(part)](part)
    return f"({text})" if level_of(part) < least else text


def level_of(part: Syntax) -> int:
    """How tightly a part binds."""
    match part:
        case If():
            return ANY
        case Chain():
            return CHAIN
        case Binary(operator=operator):
            return _LEVELS[operator]
        case Unary(operator="not"):
            return NOT
        case Unary():
            return UNARY
        case _:
            return POSTFIX


def _operands(part: Binary) -> tuple[int, int]:
    """How tightly the two sides of an operator must bind without parentheses."""
    level = _LEVELS[part.operator]
    return (SUM, SUM) if level == COMPARE else (level, level + 1)


def _list(parts: Sequence[Part]) -> str:
    return ", ".join(flat(p) for p in parts)


def _is_fraction(part: Syntax) -> bool:
    """`3/2` and `-3/2`: a number that only looks like a division."""
    match part:
        case Binary(operator="/", left=Number() | Unary(operator="-", operand=Number()), right=Number()):
            return True
    return False


def _binary(part: Binary) -> str:
    left, right = (flat(p, least) for p, least in zip((part.left, part.right), _operands(part), strict=True))
    return f"{left}/{right}" if _is_fraction(part) else f"{left} {part.operator} {right}"


def ends_of(part: Interval) -> list[Row]:
    """`16..64 step 8`: its ends and its step."""
    wide = any(isinstance(p, Binary) and not _is_fraction(p) for p in (part.first, part.last))
    ends: list[Row] = [("", part.first, SUM), (" .. " if wide else "..", part.last, SUM)]
    return ends if part.by is None else [*ends, (" step ", part.by, SUM)]


def _comprehension(part: Comprehension) -> str:
    return f"[{' '.join(word + flat(inner, least) for word, inner, least in clauses_of(part))}]"


def clauses_of(part: Comprehension) -> list[Row]:
    """The item, the loops and the condition of a list."""
    parts: list[Row] = [
        ("", part.item, ANY),
        *((f"for {loop.variable} in ", loop.iterable, CHAIN) for loop in part.loops),
    ]
    return parts if part.condition is None else [*parts, ("if ", part.condition, CHAIN)]


def branches_of(part: If) -> list[Row]:
    """The conditions and values of an `if` with all that follow behind its `else`."""
    parts: list[Row] = [("if ", part.condition, CHAIN), ("then ", part.then, CHAIN)]
    while isinstance(part.otherwise, If):
        part = part.otherwise
        parts += [("else if ", part.condition, CHAIN), ("then ", part.then, CHAIN)]
    return [*parts, ("else ", part.otherwise, CHAIN)]


def terms_of(part: Binary) -> list[Row]:
    """The operands of one level, `a + b - c`, each behind its operator."""
    left, right = _operands(part)
    last: Row = (f"{part.operator} ", part.right, right)
    if isinstance(part.left, Binary) and _operands(part.left) == (left, right) != (SUM, SUM):
        return [*terms_of(part.left), last]
    return [("", part.left, left), last]


def _constant(part: Constant) -> str:
    return f'"{part.value}"' if isinstance(part.value, str) else str(part.value).lower()


def per_of(part: Vary) -> str:
    """` per branch`, or nothing."""
    return f" per {part.per}" if part.per else ""


_FLAT: dict[type, Callable[..., str]] = {
    Number: lambda p: p.text,
    Constant: _constant,
    Name: lambda p: p.text,
    Attribute: lambda p: f"{flat(p.base, POSTFIX)}.{p.name}",
    Index: lambda p: f"{flat(p.base, POSTFIX)}[{flat(p.index)}]",
    Call: lambda p: f"{flat(p.function, POSTFIX)}({_list((*p.positional, *p.named))})",
    ListOf: lambda p: f"[{_list(p.items)}]",
    Comprehension: _comprehension,
    Unary: lambda p: f"not {flat(p.operand, NOT)}" if p.operator == "not" else f"-{flat(p.operand, UNARY)}",
    Binary: _binary,
    If: lambda p: " ".join(word + flat(inner, least) for word, inner, least in branches_of(p)),
    Chain: lambda p: " -> ".join(flat(link, OR) for link in p.links),
    Members: lambda p: f"{{{_list(p.items)}}}",
    Interval: lambda p: "".join(word + flat(inner, least) for word, inner, least in ends_of(p)),
    Listed: lambda p: flat(p.value, SUM),
    Weight: lambda p: f"{flat(p.value)}: {flat(p.weight)}",
    Fix: lambda p: f"{p.target} = {flat(p.value)}",
    Vary: lambda p: f"{p.target} in {flat(p.domain)}{per_of(p)}",
    Parameter: lambda p: p.name if p.default is None else f"{p.name} = {flat(p.default)}",
}


def flat_entry(line: Fix | Vary | Require | Goal | Prior) -> str:
    """A line without a block."""
    match line:
        case Prior():
            return f"prior {flat(line.quantity, CHAIN)} {{{_list(line.weights)}}}"
        case Require():
            return f"require {flat(line.condition)}"
        case Goal():
            return f"{line.direction} {flat(line.value)}"
        case _:
            return flat(line)


def title_of(block: Block) -> str:
    """`stage main`: how the head of a block begins."""
    return f"{block.kind} {block.name}" if block.name else block.kind


def tail_of(block: Block) -> str:
    """The clauses with which the head of a block ends."""
    return "".join(f" {_clause(c)}" for c in block.clauses)


def flat_head(block: Block) -> str:
    """What stands before the brace of a block."""
    parameters = "" if block.parameters is None else f"({_list(block.parameters)})"
    return f"{title_of(block)}{parameters}{tail_of(block)}"


def _clause(clause: Clause) -> str:
    names = ", ".join(n.text for n in clause.names)
    return f"{clause.kind} {names if clause.value is None else flat(clause.value)}"
