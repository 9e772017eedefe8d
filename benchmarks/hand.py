"""An architecture as somebody would write it by hand: nested modules with weights of their own, straight-line forwards.

One block for each cell, made as Python source: convolutions, batch normalisations and activations are modules of the
block, sums and resizes are calls. The forward of the network calls block after block.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hrdsl.compiler.graph import Graph
from hrdsl.compiler.instruction import function
from hrdsl.compiler.module import flat_name
from hrdsl.compiler.operator import In, Norm, Out, Par
from hrdsl.compiler.specialise import Live, Specialiser
from hrdsl.compiler.store import Store

ACTIVATIONS = {"torch.relu": nn.ReLU, "torch.nn.functional.relu6": nn.ReLU6}


def network(graph: Graph, store: Store, genes: Sequence[int], running: bool = True) -> nn.Module:
    """The network with the weights of the store; `running`: its batch normalisations keep running statistics."""
    lives = Specialiser(graph)(tuple(genes))
    blocks = list(cells(graph, lives))
    outside = {
        i: k for k, block in enumerate(blocks) for live in block for i in live.inputs
    }  # the last block that reads i
    root, body = nn.Module(), []
    for k, block in enumerate(blocks):
        own = {live.node for live in block}
        reads = sorted({i for live in block for i in live.inputs} - own)
        gives = sorted(n for n in own if outside.get(n, k) > k or n == lives[-1].node)
        name = f"block{k}"
        root.add_module(name, Block(graph, store, block, reads, gives, running))
        body.append(f"{', '.join(map(value, gives))} = self.{name}({', '.join(map(value, reads))})")
    return with_forward(root, "v0", [*body, f"return {value(lives[-1].node)}"], {})


def cells(graph: Graph, lives: Sequence[Live]) -> list[list[Live]]:
    """Live operations in runs of one cell."""
    out: list[list[Live]] = []
    last = None
    for live in lives:
        cell = graph.nodes[live.node].name.rpartition(".")[0]
        if cell != last:
            out.append([])
        out[-1].append(live)
        last = cell
    return out


def value(node: int) -> str:
    return f"v{node}"


def with_forward(module: nn.Module, arguments: str, body: list[str], scope: dict[str, Any]) -> nn.Module:
    """The module, of a class of its own whose forward has these lines."""
    source = f"def forward(self, {arguments}):\n" + "".join(f"    {line}\n" for line in body)
    exec(compile(source, "<hand>", "exec"), scope)
    module.__class__ = type("Hand", (type(module),), {"forward": scope["forward"]})
    return module


class Block(nn.Module):
    """One cell."""

    def __init__(
        self, graph: Graph, store: Store, lives: list[Live], reads: list[int], gives: list[int], running: bool
    ) -> None:
        super().__init__()
        self._scope: dict[str, Any] = {}
        lines: list[str] = []
        for live in lives:
            node = graph.nodes[live.node]
            weights = {n: nn.Parameter(store.read(f"{node.name}.{n}", runs)) for n, runs in live.entry.weights}
            steps = live.entry.steps
            for k, step in enumerate(steps):
                into = value(live.node) if k == len(steps) - 1 else f"t{live.node}_{k}"
                name = flat_name(f"m_{node.name.rpartition('.')[2]}_{live.node}_{k}")
                source = value(live.inputs[0]) if k == 0 else f"t{live.node}_{k - 1}"
                lines.append(f"{into} = {self._step(step, live, name, source, weights, running)}")
        lines.append(f"return {', '.join(map(value, gives))}")
        with_forward(self, ", ".join(map(value, reads)), lines, self._scope)

    def _step(
        self, step: Any, live: Live, name: str, source: str, weights: dict[str, nn.Parameter], running: bool
    ) -> str:
        if isinstance(step, Norm):
            norm = nn.BatchNorm2d(step.channels, step.eps, step.momentum, track_running_stats=running)
            norm.weight, norm.bias = weights["weight"], weights["bias"]
            self.add_module(name, norm)
            return f"self.{name}({source})"
        if step.function in ACTIVATIONS:
            self.add_module(name, ACTIVATIONS[step.function]())
            return f"self.{name}({source})"
        if step.function == "torch.conv2d":
            self.add_module(name, convolution(step.args, weights))
            return f"self.{name}({value(live.inputs[step.args[0].index])})"
        for key, weight in weights.items():
            self.register_parameter(f"{name}_{key}", weight)
        self._scope[name] = function(step.function)

        def text(a: Any) -> str:
            match a:
                case In(index):
                    return value(live.inputs[index])
                case Out(index):
                    return f"t{live.node}_{index}"
                case Par(key):
                    return f"self.{name}_{key}"
                case list():
                    return f"[{', '.join(map(text, a))}]"
            return repr(a)

        named = [f"{k}={text(v)}" for k, v in step.kwargs]
        return f"{name}({', '.join([*map(text, step.args), *named])})"


def convolution(args: tuple[Any, ...], weights: dict[str, nn.Parameter]) -> nn.Conv2d:
    _, _, bias, stride, padding, dilation, groups = args
    width, inner, kernel, _ = weights["weight"].shape
    with torch.device("meta"):
        made = nn.Conv2d(inner * groups, width, kernel, stride, padding, dilation, groups, bias is not None)
    made.weight = weights["weight"]
    if bias is not None:
        made.bias = weights["bias"]
    return made
