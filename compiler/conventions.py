"""Cost conventions: how other counters count. Each is a table of factors over what the operators and shapes already say.

True MACs are what constraints, objectives and penalties read; a convention is for reports beside published figures.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Literal

from .graph import Graph, Node
from .sym import Value

Quantity = Literal["macs", "biases", "elements", "points"]
QUANTITIES: Mapping[Quantity, str] = {
    "macs": "multiply-accumulates",
    "biases": "results to which an operator with MACs adds a bias",
    "elements": "numbers in the result",
    "points": "pixels or tokens of the result",
}
"""What a rule can count of a node."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`factor` for each of a quantity: of operators of these names or families, within cells or entries of these names;
    without names, of all."""

    quantity: Quantity
    factor: Fraction | int
    operators: tuple[str, ...] = ()
    within: tuple[str, ...] = ()

    def fits(self, node: Node) -> bool:
        kinds = {node.op.name, node.op.family}
        return (not self.operators or not kinds.isdisjoint(self.operators)) and (
            not self.within or not _parts(node.name).isdisjoint(self.within)
        )

    def __str__(self) -> str:
        of = f" of {', '.join(f'`{name}`' for name in self.operators)}" if self.operators else ""
        within = f" within {', '.join(f'`{name}`' for name in self.within)}" if self.within else ""
        return f"{QUANTITIES[self.quantity]}{of}{within}: {self.factor} each"


def _parts(name: str) -> set[str]:
    """The names on a path: `s2.fine[1].encoder2.linear` holds `encoder` and `encoder2`."""
    words = {word.split("[")[0] for word in name.split(".")}
    return words | {word.rstrip("0123456789") for word in words}


@dataclass(frozen=True, slots=True)
class Convention:
    """A way to count. Of the rules for one quantity, the first that fits a node says what it counts there."""

    name: str
    title: str
    meaning: str
    rules: tuple[Rule, ...]

    @property
    def unit(self) -> int:
        """What all counts are multiplied by to be whole."""
        return lcm(*(Fraction(rule.factor).denominator for rule in self.rules))

    def products(self, graph: Graph, node: Node) -> Iterator[tuple[Value, ...]]:
        """What a node counts, as a sum of products, times `unit`."""
        for quantity in QUANTITIES:
            rule = next((r for r in self.rules if r.quantity == quantity and r.fits(node)), None)
            if rule is not None and rule.factor:
                factor = int(rule.factor * self.unit)
                yield from ((factor, *product) for product in counted(graph, node, quantity))


def counted(graph: Graph, node: Node, quantity: Quantity) -> tuple[tuple[Value, ...], ...]:
    """A quantity of a node as a sum of products."""
    shape = node.shape
    if quantity == "elements":
        return ((shape.elements,),)
    if quantity == "points":
        return ((shape.points, shape.copies),)
    work = node.op.work(tuple(graph.nodes[i].shape for i in node.inputs if i is not None), shape)
    if quantity == "macs":
        return work
    biased = work and any(w.name == "bias" for w in node.weights)
    return ((shape.elements,),) if biased else ()


HALF = Fraction(1, 2)
CONVENTIONS: Mapping[str, Convention] = {
    c.name: c
    for c in (
        Convention(
            "macs",
            "multiply-accumulates",
            "The default, and what constraints and objectives read: convolutions, linear maps and the products of "
            "attention.",
            (Rule("macs", 1),),
        ),
        Convention(
            "flops",
            "floating-point operations",
            "Two for each MAC, the multiplication and the addition, as torch.utils.flop_counter counts; TrioNet, Table 2.",
            (Rule("macs", 2),),
        ),
        Convention(
            "hrvit-paper",
            "the FLOPs of the HRViT paper (Tables 3, 4, 5 and 7)",
            "MACs with the products of attention at half, one for each bias that is added and one for each number that "
            "`ln` normalises. Found by fitting; all printed figures agree.",
            (Rule("macs", HALF, ("attention",)), Rule("macs", 1), Rule("biases", 1), Rule("elements", 1, ("ln",))),
        ),
        Convention(
            "hyctas-table2",
            "the FLOPs of the HyCTAS paper, Table 2",
            "As the tool thop counts: MACs with one for each bias that is added, two for each number that `bn` "
            "normalises, and nothing for the products of attention.",
            (Rule("macs", 0, ("attention",)), Rule("macs", 1), Rule("biases", 1), Rule("elements", 2, ("bn",))),
        ),
        Convention(
            "hyctas-table3",
            "the FLOPs of the HyCTAS paper, Table 3",
            "Convolutions and the products of attention: in these networks all MACs.",
            (Rule("macs", 1),),
        ),
        Convention(
            "hyctas-table7",
            "the FLOPs of the HyCTAS paper, Table 7",
            "Convolutions only: MACs without the products of attention.",
            (Rule("macs", 0, ("attention",)), Rule("macs", 1)),
        ),
        Convention(
            "hrnas-profiler",
            "what the released profiler of HR-NAS counts",
            "MACs, but within a transformer neither the attention of the decoder nor the feed-forward layers, of which "
            "each linear map counts one for each token.",
            (
                Rule("macs", 0, (), ("decoder", "feed_forward")),
                Rule("macs", 1),
                Rule("points", 1, ("linear",), ("feed_forward",)),
            ),
        ),
    )
}
"""Every convention by its name."""
DEFAULT = "macs"
