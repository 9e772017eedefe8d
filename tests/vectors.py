"""Numeric cases of published systems: read, imported by the real command into a space, computed, compared.

A case is a file in `tests/facts/<system>/vectors/`: a state dictionary, inputs, outputs, for some also gradients and the
statistics after a training step. Three layouts are read, as the cases were made: `.npz` with `param/`, `buffer/`, `in/`, `out/`,
`tap/`, `grad/`, `after/`; `.safetensors` with `sd.`, `in.`, `out.`; `.safetensors` with `state.`, `input`, `output.`.

    case = vectors.read("hrnas", "block_normal_18_18")
    network = vectors.network(SPACE, case, "hrnas:block", at="head.searching_block", folder=tmp_path)
    vectors.check(network(case.input), case.output)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, fx

from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.found import found_text
from hrdsl.compiler.module import flat_name
from hrdsl.runtime.results import network_of
from hrdsl.runtime.weights.importing import fit, names
from hrdsl.runtime.weights.maps import load

FACTS = Path(__file__).parent / "facts"
TOLERANCE = 1e-5
"""The largest difference, as a share of the largest output."""
PREFIXES = {
    "param/": "state", "buffer/": "state", "in/": "inputs", "out/": "outputs", "tap/": "taps", "grad/": "gradients",
    "after/": "after", "sd.": "state", "state.": "state", "in.": "inputs", "out.": "outputs", "output.": "outputs",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One file. Names are those of the released code; `others` is what has no prefix, `meta` what the file says of itself."""

    name: str
    meta: Mapping[str, Any]
    state: Mapping[str, Tensor]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    taps: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    after: Mapping[str, Tensor]
    others: Mapping[str, Tensor]

    @property
    def input(self) -> Tensor:
        """The only input."""
        (x,) = self.inputs.values()
        return x

    @property
    def output(self) -> Tensor:
        """The only output."""
        (y,) = self.outputs.values()
        return y


def cases(system: str) -> list[str]:
    """The names of all cases of a system."""
    return sorted(
        path.stem for path in (FACTS / system / "vectors").iterdir() if path.suffix in (".npz", ".safetensors")
    )


def read(system: str, name: str) -> Case:
    """One case."""
    folder = FACTS / system / "vectors"
    path = folder / f"{name}.npz"
    tensors, meta = _arrays(path) if path.exists() else _tensors(folder / f"{name}.safetensors")
    kinds: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*PREFIXES.values(), "others")}
    for key, value in tensors.items():
        prefix = next((p for p in PREFIXES if key.startswith(p)), "")
        kind = PREFIXES.get(prefix, "inputs" if key == "input" else "others")
        kinds[kind][key.removeprefix(prefix)] = value
    return Case(name, meta, **kinds)


def _arrays(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files if k != "meta"}, json.loads(str(file["meta"]))


def _tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, "pt") as file:
        notes = file.metadata() or {}
        meta = json.loads(notes.get("meta") or notes.get("config") or "{}")
        aliases = json.loads(notes.get("aliases") or "{}")
        return {k: file.get_tensor(k) for k in file.keys()}, {**meta, "aliases": aliases}


def as_map(tokens: Tensor, height: int) -> Tensor:
    """Tokens [B, N, C], row after row, as a map [B, C, height, N/height]."""
    b, n, c = tokens.shape
    return tokens.transpose(1, 2).reshape(b, c, height, n // height)


# networks ----------------------------------------------------------------------------------------------------------


def space(text: str, folder: Path, choices: Mapping[str, str] | None = None) -> Path:
    """A file with this text, without its first line; `choices` close decisions that it leaves open: path -> label."""
    path = folder / "case.arch"
    path.write_text(f"hrdsl 1\n{text}")
    return closed(path, folder, choices) if choices is not None else path


def closed(path: Path, folder: Path, choices: Mapping[str, str], **settings: Any) -> Path:
    """The network of a space in which these decisions are made, all others as in the largest."""
    made = compile_file(path, settings=settings)
    genes = [int(g) for g in made.decisions.largest()]
    known = {d.path: d for d in made.graph.decisions}
    for name, label in choices.items():
        genes[known[name].index] = known[name].labels.index(label)
    out = folder / "closed.arch"
    out.write_text(found_text(made, genes))
    return out


def network(
    text: str | Path,
    case: Case,
    chart: str,
    *,
    folder: Path,
    at: str = "",
    fresh: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> fx.GraphModule:
    """The network of a space (its text without the first line, or its file) with the state of a case, imported by
    `hrdsl weights import`, ready for evaluation. `settings` are `name=value`, as --set takes them."""
    path = text if isinstance(text, Path) else space(text, folder)
    checkpoint, weights = folder / f"{case.name}.safetensors", folder / "imported.safetensors"
    save_file({k: v.contiguous() for k, v in case.state.items()}, checkpoint)
    words = ["weights", "import", str(path), str(checkpoint), "--map", chart, "-o", str(weights), "--at", at]
    words += [w for pattern in fresh for w in ("--fresh", pattern)] + [w for s in settings for w in ("--set", s)]
    status = main(words)
    assert status == 0, "the import failed: its faults are above, on stderr"
    return network_of(_compiled(path, settings), weights)


def _compiled(path: Path, settings: Sequence[str]) -> Compiled:
    from hrdsl.compiler.api import read_settings

    return compile_file(path, settings=read_settings(list(settings)))


def part(network: fx.GraphModule, feed: Sequence[str], read: Sequence[str]) -> fx.GraphModule:
    """What a network computes between nodes: a module from the values of `feed` to those of `read` (a tuple). Both are
    paths of nodes, as `hrdsl compile --emit graph` prints them; `x` is the network's input."""
    calls = fx.Graph()
    known = {n.name: n for n in network.graph.nodes}
    fed = {known[flat_name(name)]: calls.placeholder(f"in_{flat_name(name)}") for name in feed}
    wanted = [known[flat_name(name)] for name in read]
    needed, stack = set[fx.Node](), list(wanted)
    while stack:
        node = stack.pop()
        if node not in needed and node not in fed:
            needed.add(node)
            stack += node.all_input_nodes
    values = dict(fed)
    for node in network.graph.nodes:
        if node in needed:
            values[node] = calls.node_copy(node, lambda n: values[n])
    calls.output(tuple(values[n] for n in wanted))
    calls.lint()
    return fx.GraphModule(network, calls)


# comparisons -------------------------------------------------------------------------------------------------------


def check(ours: Any, theirs: Any, tolerance: float = TOLERANCE) -> None:
    """Two results agree: tensors, or dictionaries of them with the names of `theirs`, or sequences."""
    if isinstance(theirs, Mapping):
        for name, value in theirs.items():
            check(ours[name], value, tolerance)
    elif isinstance(theirs, Tensor):
        assert ours.shape == theirs.shape, f"{list(ours.shape)} is computed, {list(theirs.shape)} is expected"
        ours, theirs = ours.detach(), theirs.detach()
        found, size = float((ours - theirs).abs().max()), float(theirs.abs().max())
        assert found <= tolerance * size, f"the largest difference is {found:.3g}, of a largest value of {size:.3g}"
    else:
        for one, other in zip(ours, theirs, strict=True):
            check(one, other, tolerance)


def check_training(
    network: fx.GraphModule, case: Case, chart: str, grad: str, at: str = "", tolerance: float = 1e-4
) -> None:
    """One step of training: the output with statistics of the batch, the gradients of every parameter, and the statistics
    afterwards. `grad`: which tensor of the case is the gradient of the output. Gradients pass through the map as weights do."""
    network.train().zero_grad()
    x = case.input.clone().requires_grad_()
    y = network(x)
    check(y, case.output, tolerance)
    y.backward(case.others[grad])
    known = names(network)
    parameters = dict(network.named_parameters())
    gradients = _through(network, {**case.state, **case.gradients}, chart, at)
    for name, key in known.items():
        if key in parameters:
            found = parameters[key].grad
            assert found is not None, name
            check(found, gradients[key], tolerance)
    after = _through(network, {**case.state, **case.after}, chart, at)
    for key in {k for n, k in known.items() if n.endswith(("running_mean", "running_var"))}:
        check(network.state_dict()[key], after[key], tolerance)


def _through(network: fx.GraphModule, state: Mapping[str, Tensor], chart: str, at: str) -> dict[str, Tensor]:
    found, section = load(chart)
    made = fit(network, state, found, section, at)
    assert not made.faults, made.faults[:4]
    return made.state
