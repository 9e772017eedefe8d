"""A network as its user runs it: extracted, evaluated, statistics within the convolutions, no dropout.

Whole architectures and single works become calls that can be timed. Imports the compiler and torch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ...compiler.graph import Graph
from ...compiler.instruction import function
from ...compiler.module import extract, operation
from ...compiler.plan import Statistics
from ...compiler.store import Store
from ...compiler.works import FOLDS, Sizes, Work
from .clock import PRECISIONS, Conditions

LAST = torch.channels_last


def deployed(graph: Graph, store: Store, genes: Sequence[int], statistics: Statistics | None = None) -> fx.GraphModule:
    """The extracted network, ready for use: in evaluation it computes what `extract` gives, up to rounding."""
    net = extract(graph, store, tuple(genes), statistics).eval()
    fold(net)
    drop(net)
    net.graph.lint()
    net.recompile()
    return net


def fold(net: fx.GraphModule) -> None:
    """Put every batch normalisation that alone reads a convolution into its weights. In place; the caller recompiles."""
    functions = {function(path): path == "torch.conv_transpose2d" for path in FOLDS}
    for node in list(net.graph.nodes):
        norm = net.get_submodule(node.target) if node.op == "call_module" else None
        before = node.args[0] if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) else None
        if before is None or before.target not in functions or len(before.users) > 1:
            continue
        weight, bias = before.args[1], before.args[2]
        if weight.op != "get_attr" or len(weight.users) > 1:
            continue
        _fold(net, before, norm, functions[before.target])
        node.replace_all_uses_with(before)
        net.graph.erase_node(node)
        net.delete_submodule(node.target)
        assert bias is None or bias.op == "get_attr"


def _fold(net: fx.GraphModule, convolution: fx.Node, norm: Any, transposed: bool) -> None:
    """New weight and bias of a convolution; the weight keeps its layout."""
    weight, bias = convolution.args[1], convolution.args[2]
    assert isinstance(weight, fx.Node)
    old = getattr(net, str(weight.target))
    known = getattr(net, str(bias.target)) if isinstance(bias, fx.Node) else None
    last = old.is_contiguous(memory_format=LAST) and not old.is_contiguous()
    scaled, shift = fuse_conv_bn_weights(
        old, known, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias, transposed
    )
    value = scaled.detach().contiguous(memory_format=LAST if last else torch.contiguous_format)
    setattr(net, str(weight.target), nn.Parameter(value))
    place = str(bias.target) if isinstance(bias, fx.Node) else f"{weight.target}_folded"
    setattr(net, place, nn.Parameter(shift.detach()))
    if not isinstance(bias, fx.Node):
        with net.graph.inserting_before(convolution):
            convolution.args = (*convolution.args[:2], net.graph.get_attr(place), *convolution.args[3:])


def drop(net: fx.GraphModule) -> None:
    """Take dropout out, which does nothing in evaluation."""
    for node in list(net.graph.nodes):
        if node.op == "call_module" and isinstance(net.get_submodule(node.target), nn.Dropout):
            node.replace_all_uses_with(node.args[0])
            net.graph.erase_node(node)
            net.delete_submodule(node.target)


def network(
    graph: Graph,
    store: Store,
    genes: Sequence[int],
    on: Conditions,
    device: torch.device,
    statistics: Statistics | None = None,
) -> Callable[[], Any]:
    """A whole architecture on one batch, as a call."""
    net = deployed(graph, store, genes, statistics).to(device, PRECISIONS[on.precision])
    entry = graph.input
    x = _drawn((entry.form, entry.width, tuple(entry.extent), 1), on, device, False)
    return lambda: net(x)


def single(graph: Graph, work: Work, on: Conditions, device: torch.device, last: bool) -> Callable[[], Any]:
    """One work on one batch, as a call; `last`: with the channels of its maps last."""
    net = operation(graph, work.live, last, work.biased).eval().to(device, PRECISIONS[on.precision])
    inputs = [_drawn(sizes, on, device, last) for sizes in work.inputs]
    run = net.forward
    return lambda: run(*inputs)


def _drawn(sizes: Sizes, on: Conditions, device: torch.device, last: bool) -> Tensor:
    form, width, extent, copies = sizes
    inner = (*extent, width) if form == "tokens" else (width, *extent)
    x = torch.randn((on.batch * copies, *inner), device=device).to(PRECISIONS[on.precision])
    return x.contiguous(memory_format=LAST) if last and form == "map" else x
