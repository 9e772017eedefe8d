"""Random programs: derivations of the grammar as tokens, and the same tokens printed in random layouts.

`program` draws a file from the grammar of SPEC.md, section 2, with parentheses where precedence wants them and sometimes
where it does not. `printed` puts blanks, newlines and numbered comments wherever they may stand.
"""

from collections.abc import Callable
from random import Random

LINE, SOFT = "<line>", "<soft>"
"""A newline that ends something, and one that may stand beside the brace of a block."""
JOINTS = ("->", "then", "else", "and", "or")
ANY, CHAIN, OR, AND, NOT, COMPARE, SUM, PRODUCT, UNARY, POSTFIX = range(10)
NAMES = ("a", "x", "width", "steps", "blocks", "in_", "e4", "a_rather_long_name_for_a_value_of_a_cell")
NUMBERS = ("0", "3", "16", "0.5", "1e-4", "600M", "12ms", "4Ki", "1_000")
TEXTS = ('"text"', '"# no comment"', '""', "true", "false", "none")
KINDS = ("cell", "space", "branch", "stage", "routes", "train")

Tokens = list[str]


def program(seed: int, size: int) -> Tokens:
    """A file; `size` from 1 says how deep expressions nest and how many items there are."""
    return _Derivation(Random(seed), size).file()


class _Derivation:
    def __init__(self, random: Random, size: int) -> None:
        self.random = random
        self.size = size

    def pick(self, options: tuple[str, ...]) -> str:
        return self.random.choice(options)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def many(self, make: Callable[[], Tokens], least: int = 0, most: int = 3) -> list[Tokens]:
        return [make() for _ in range(self.random.randint(least, max(least, min(most, self.size))))]

    def listed(self, parts: list[Tokens]) -> Tokens:
        """Parts with commas, the last one may have one too."""
        inner = [t for part in parts for t in (*part, ",")]
        return inner if parts and self.chance(0.3) else inner[:-1]

    # files and lines

    def file(self) -> Tokens:
        items = [t for item in self.many(self.item, 1) for t in (*item, LINE)]
        return ["hrdsl", "1", LINE, *items]

    def item(self) -> Tokens:
        if self.chance(0.2):
            alias = ["as", self.pick(NAMES)] if self.chance(0.5) else []
            path = [t for _ in range(self.random.randint(0, 2)) for t in (".", self.pick(NAMES))]
            return ["use", self.pick(NAMES), *path, *alias]
        return self.block(2)

    def docs(self) -> Tokens:
        return [
            t for _ in range(self.random.choice((0, 0, 0, 1, 2))) for t in (self.pick(("## about", "##", "##x")), LINE)
        ]

    def block(self, deep: int) -> Tokens:
        head = [self.pick(KINDS), *([self.pick(NAMES)] if self.chance(0.8) else [])]
        if self.chance(0.3):
            head += ["(", *self.listed(self.many(self.parameter)), ")"]
        for clause in self.many(self.clause, most=2):
            head += clause
        lines = self.many(lambda: self.line(deep - 1), most=4)
        inner = [t for i, line in enumerate(lines) for t in ((LINE, *line) if i else line)]
        first: Tokens = [LINE] if inner and inner[0].startswith("##") else [SOFT]
        return [*self.docs(), *head, "{", *first, *inner, SOFT, "}"]

    def parameter(self) -> Tokens:
        return [self.pick(NAMES), *(["=", *self.expr(ANY, 1)] if self.chance(0.5) else [])]

    def clause(self) -> Tokens:
        kind = self.pick(("on", "at", "for"))
        if kind == "at":
            return ["at", *self.expr(ANY, 1)]
        more = [t for _ in range(self.random.randint(0, 2) if kind == "on" else 0) for t in (",", self.pick(NAMES))]
        return [kind, self.pick(NAMES), *more]

    def line(self, deep: int) -> Tokens:
        if deep > 0 and self.chance(0.3):
            return self.block(deep)
        value = self.expr(ANY, self.size)
        kinds: list[Callable[[], Tokens]] = [
            lambda: [*self.target(), "=", *value],
            lambda: [*self.target(), "in", *self.domain(), *self.per()],
            lambda: ["require", *value],
            lambda: [self.pick(("maximize", "minimize")), *value],
            lambda: ["prior", *value, "{domain", *self.listed(self.many(self.weight, 1)), "}"],
        ]
        return [*self.docs(), *self.random.choice(kinds)()]

    def target(self) -> Tokens:
        out = [self.pick(NAMES)]
        for _ in range(self.random.choice((0, 0, 1, 2))):
            out += [".", self.pick(NAMES)] if self.chance(0.6) else ["[", self.pick(("1", "2")), "]"]
        return out

    def per(self) -> Tokens:
        return ["per", self.pick(NAMES)] if self.chance(0.3) else []

    def weight(self) -> Tokens:
        return [*self.expr(ANY, 1), ":", *self.expr(ANY, 1)]

    def domain(self, deep: int = 2) -> Tokens:
        kind = self.random.randrange(4)
        if kind < 2:
            return ["{domain", *self.listed(self.many(lambda: self.expr(ANY, deep - 1), 1)), "}"]
        if kind == 2:
            by = ["step", *self.expr(SUM, deep - 1)] if self.chance(0.4) else []
            return [*self.expr(SUM, deep - 1), "..", *self.expr(SUM, deep - 1), *by]
        return self.random.choice((self.comprehension, self.attribute, self.call, self.items))(deep)

    # expressions

    def expr(self, least: int, deep: int) -> Tokens:
        """An expression that binds at least so tightly."""
        made, level = self.production(deep) if deep > 0 else (self.atom(), POSTFIX)
        return ["(", *made, ")"] if level < least or self.chance(0.05) else made

    def atom(self) -> Tokens:
        return [self.pick(self.random.choice((NAMES, NAMES, NUMBERS, TEXTS)))]

    def production(self, deep: int) -> tuple[Tokens, int]:
        deep -= 1
        level = self.random.randrange(10)
        match level:
            case 0:
                parts = [self.expr(ANY, deep) for _ in range(3)]
                return ["if", *parts[0], "then", *parts[1], "else", *parts[2]], level
            case 1:
                links = [self.expr(OR, deep) for _ in range(self.random.randint(2, 4))]
                return [t for i, link in enumerate(links) for t in (("->", *link) if i else link)], level
            case 2 | 3 | 6 | 7:
                signs = {2: ("or",), 3: ("and",), 6: ("+", "-"), 7: ("*", "/", "//", "%")}[level]
                return [*self.expr(level, deep), self.pick(signs), *self.expr(level + 1, deep)], level
            case 4:
                return ["not", *self.expr(NOT, deep)], level
            case 5:
                sign = self.pick(("<=", ">=", "==", "!=", "<", ">"))
                return [*self.expr(SUM, deep), sign, *self.expr(SUM, deep)], level
            case 8:
                return ["-", *self.expr(UNARY, deep)], level
        forms = (self.attribute, self.index, self.call, self.items, self.comprehension)
        return self.random.choice(forms)(deep), POSTFIX

    def attribute(self, deep: int) -> Tokens:
        return [*self.expr(POSTFIX, deep), ".", self.pick(NAMES)]

    def index(self, deep: int) -> Tokens:
        return [*self.expr(POSTFIX, deep), "[", *self.expr(ANY, deep), "]"]

    def call(self, deep: int) -> Tokens:
        named = self.many(lambda: self.argument(deep), most=2)
        return [*self.expr(POSTFIX, deep), "(", *self.listed([*self.many(lambda: self.expr(ANY, deep)), *named]), ")"]

    def argument(self, deep: int) -> Tokens:
        name = self.pick(NAMES)
        if self.chance(0.5):
            return [name, "=", *self.expr(ANY, deep)]
        return [name, "in", *self.domain(min(deep, 1)), *self.per()]

    def items(self, deep: int) -> Tokens:
        return ["[", *self.listed(self.many(lambda: self.expr(ANY, deep))), "]"]

    def comprehension(self, deep: int) -> Tokens:
        out = ["[", *self.expr(ANY, deep)]
        for _ in range(self.random.choice((1, 1, 2, 3))):
            out += ["for", self.pick(NAMES), "in", *self.expr(ANY, deep)]
        return [*out, *(["if", *self.expr(ANY, deep)] if self.chance(0.4) else []), "]"]


# layouts -----------------------------------------------------------------------------------------------------------


def plain(tokens: Tokens) -> str:
    """The tokens with one blank between them, no comment, and only the newlines that count."""
    text = " ".join("\n" if t == LINE else "" if t == SOFT else "{" if t == "{domain" else t for t in tokens)
    return text.replace(" \n ", "\n").rstrip(" ")


def printed(tokens: Tokens, seed: int) -> str:
    """The tokens in some layout."""
    return _Layout(Random(seed)).text(tokens)


class _Layout:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.comments = 0
        self.loose = random.choice((0.02, 0.2, 0.6))
        """How often a newline stands where it does not count."""

    def text(self, tokens: Tokens) -> str:
        out, open_, last = [self.lines(0.3)], [False], ""
        for token in tokens:
            if token == LINE or (token == SOFT and self.random.random() < 0.7):
                behind = "" if last.startswith("##") else self.comment(0.2)
                out.append(self.blank() + behind + self.newline() + self.lines(0.3))
                last = ""
            elif token != SOFT:
                free = open_[-1] or last in JOINTS or token in JOINTS
                out.append(self.gap(last, token, free and last != ""))
                out.append("{" if token == "{domain" else token)
                if token in ("(", "[", "{domain", "{"):
                    open_.append(token != "{")
                elif token in (")", "]", "}"):
                    open_.pop()
                last = token
        return "".join(out)

    def gap(self, last: str, token: str, free: bool) -> str:
        if free and self.random.random() < self.loose:
            return self.blank() + self.comment(0.4) + self.newline() + self.lines(0.4)
        words = last[-1:].isalnum() or last[-1:] == "_", token[0].isalnum() or token[0] == "_"
        apart = all(words) or (last[:1].isdigit() and token == ".")
        return self.blank() or " " if apart else self.blank()

    def blank(self) -> str:
        return self.random.choice(("", " ", " ", "  ", "\t"))

    def newline(self) -> str:
        return self.random.choice(("\n", "\n", "\n", "\r\n"))

    def lines(self, share: float) -> str:
        """Blank lines and comments on lines of their own."""
        out = ""
        while self.random.random() < share:
            out += self.blank() + self.comment(0.6) + self.newline()
        return out + self.blank()

    def comment(self, share: float) -> str:
        if self.random.random() >= share:
            return ""
        self.comments += 1
        return f"# {self.comments}" + self.random.choice(("", " ", " of {", " = 3 ->"))
