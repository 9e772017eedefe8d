"""An extracted network as a Python module that needs nothing but torch. A GraphModule in, text out."""

import operator as python
from typing import Any

import torch
from torch import Tensor, fx, nn

HEADER = '''"""{title}, by hrdsl: {parameters:,} parameters. Load them with `Network().load_state_dict(...)`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Network(nn.Module):
    """{title}."""

    def __init__(self) -> None:
        super().__init__()
'''


def python_source(gm: fx.GraphModule, name: str) -> str:
    """The text of a module with a class `Network` whose state has the names that `gm` has."""
    count = sum(p.numel() for p in gm.parameters())
    lines = [HEADER.format(title=name, parameters=count).rstrip("\n")]
    lines += [f"        {line}" for line in _members(gm)]
    lines += ["", f"    def forward(self, x: Tensor) -> {_result(gm)}:"]
    lines += [f"        {line}" for line in _Body(gm).lines()]
    return "\n".join([*lines, ""])


def _result(gm: fx.GraphModule) -> str:
    """The type of what `forward` returns."""
    several = next((n.args[0] for n in gm.graph.nodes if n.op == "call_function" and n.target is dict), None)
    if not isinstance(several, list):
        return "Tensor"
    listed = any(isinstance(value, list) for _, value in several)
    return "dict[str, Tensor | list[Tensor]]" if listed else "dict[str, Tensor]"


def dense(weight: Tensor) -> bool:
    """The weight of a convolution that sums over channels and pixels: with its channels last, as maps are, it is never copied."""
    return weight.dim() == 4 and min(weight.shape[1:]) > 1


def _members(gm: fx.GraphModule) -> list[str]:
    out = []
    for name, p in gm.named_parameters(recurse=False):
        layout = ", memory_format=torch.channels_last" if dense(p) and not p.is_contiguous() else ""
        out.append(f"self.{name} = nn.Parameter(torch.empty({', '.join(map(str, p.shape))}{layout}))")
    for name, module in gm.named_children():
        out.append(f"self.{name} = {_made(module)}")
    return out


def _made(module: nn.Module) -> str:
    match module:
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            kind = type(module).__name__
            return f"nn.{kind}({module.num_features}, eps={module.eps!r}, momentum={module.momentum!r})"
        case nn.Dropout() | nn.Dropout1d() | nn.Dropout2d() | nn.Dropout3d():
            return f"nn.{type(module).__name__}({module.p!r})"
    raise TypeError(f"no text for {type(module).__name__}")


class _Body:
    """The statements of `forward`, one for each call, a comment before each cell."""

    def __init__(self, gm: fx.GraphModule) -> None:
        self.gm = gm
        self.cell = ""
        self.text: dict[fx.Node, str] = {}

    def lines(self) -> list[str]:
        out: list[str] = []
        for node in self.gm.graph.nodes:
            if node.op == "placeholder":
                self.text[node] = "x"
            elif node.op == "get_attr":
                self.text[node] = f"self.{node.target}"
            elif node.op == "output":
                out.append(f"return {self.value(node.args[0])}")
            else:
                out += self.comment(node.meta.get("cell", ""))
                out.append(f"{node.name} = {self.call(node)}")
                self.text[node] = node.name
        return out

    def comment(self, cell: str) -> list[str]:
        if cell == self.cell:
            return []
        self.cell = cell
        return [f"# {cell}"] if cell else []

    def call(self, node: fx.Node) -> str:
        args = [self.value(a) for a in node.args] + [f"{k}={self.value(v)}" for k, v in node.kwargs.items()]
        if node.op == "call_module":
            return f"self.{node.target}({', '.join(args)})"
        if node.op == "call_method":
            return f"{args[0]}.{node.target}({', '.join(args[1:])})"
        if node.target is getattr:
            return f"{args[0]}.{node.args[1]}"
        if node.target is python.getitem:
            return f"{args[0]}[{_index(node.args[1])}]"
        return f"{_path(node)}({', '.join(args)})"

    def value(self, value: Any) -> str:
        if isinstance(value, fx.Node):
            return self.text[value]
        if isinstance(value, list):
            return f"[{', '.join(map(self.value, value))}]"
        if isinstance(value, tuple):
            return f"({', '.join(map(self.value, value))}{',' if len(value) == 1 else ''})"
        return repr(value)


def _index(index: Any) -> str:
    if not isinstance(index, slice):
        return repr(index)
    return ":".join("" if part is None else str(part) for part in (index.start, index.stop))


def _path(node: fx.Node) -> str:
    path: str = node.meta.get("path") or torch.overrides.resolve_name(node.target)
    return path.replace("torch.nn.functional.", "F.").removeprefix("builtins.")
