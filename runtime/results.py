"""What a search leaves on disk: each found network as `.arch`, weights and picture; the space's picture; a manifest."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, fx

from ..compiler.api import Compiled
from ..compiler.conventions import DEFAULT
from ..compiler.draw import dot, draw
from ..compiler.found import compile_text, found_text
from ..compiler.module import extract
from ..compiler.outline import outline
from ..compiler.plan import Planner
from ..compiler.store import Store
from .device import one_thread
from .evaluate import recalibrate
from .files import write
from .objectives import objectives_of
from .searching import Searched
from .task import Examples

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """One found network on disk. `costs` are exact, `operations` among them as a convention counts, where one is asked for;
    `values` are the search's objectives."""

    name: str
    genome: Genome
    values: dict[str, float]
    costs: dict[str, Any]
    choices: dict[str, str]
    arch: Path
    weights: Path
    picture: Path


def write_front(searched: Searched, folder: Path, convention: str = DEFAULT) -> tuple[Network, ...]:
    """Every network of the front under `folder`, cheapest first, and the picture of the space."""
    names, by = [o.name for o in objectives_of(searched.run)], f"`search {searched.run.name}`"
    compiled = searched.compiled
    folder.mkdir(parents=True, exist_ok=True)
    draw(dot(outline(compiled.graph)), folder / "space.svg")
    members = sorted(searched.front.members, key=lambda m: compiled.costs.one(m.genome)["macs"])
    with one_thread():
        networks = tuple(
            write_network(
                searched, m.genome, dict(zip(names, m.values, strict=True)), folder / f"net-{i:02d}", by, convention
            )
            for i, m in enumerate(members, 1)
        )
    _tidy(folder, networks)
    return networks


def _tidy(folder: Path, networks: Sequence[Network]) -> None:
    """Remove what an earlier, longer front left under the names of networks."""
    kept = {path for n in networks for path in (n.arch, n.weights, n.picture)}
    for path in {*folder.glob("net-[0-9]*.*")} - kept:
        path.unlink()
    manifest = folder / "manifest.json"
    if manifest.exists():
        entries = {name: entry for name, entry in json.loads(manifest.read_text()).items() if (folder / name).exists()}
        write(manifest, json.dumps(entries, indent=2) + "\n")


class Weighing(Protocol):
    """What trains weights over a store."""

    @property
    def planner(self) -> Planner: ...
    @property
    def store(self) -> Store: ...


class Trained(Protocol):
    """A space with trained weights, and images for the statistics of its networks."""

    @property
    def compiled(self) -> Compiled: ...
    @property
    def trainer(self) -> Weighing: ...
    @property
    def calibration(self) -> Examples: ...


def write_network(
    trained: Trained,
    genome: Genome,
    values: dict[str, float],
    base: Path,
    by: str,
    convention: str = DEFAULT,
    text_of: Callable[[Compiled, Genome, list[str]], str] = found_text,
) -> Network:
    """One network as `.arch`, weights and picture beside each other. `by`: what found it."""
    compiled, costs = trained.compiled, trained.compiled.counted(convention).one(genome)
    figures = ", ".join(
        f"{k} {v:.4g}" if v < 10 else f"{k} {v:,.{0 if v == int(v) else 2}f}" for k, v in values.items()
    )
    text = text_of(compiled, genome, [f"found by {by}: {figures}"])
    found = compile_text(text, compiled)
    state = inherited(trained, genome, found)
    arch = write(base.with_suffix(".arch"), text)
    weights = save_weights(
        base.with_suffix(".safetensors"),
        state,
        {"space": compiled.space.name, **{k: f"{v:.6g}" for k, v in values.items()}},
    )
    picture = draw(dot(outline(compiled.graph, genome)), base.with_suffix(".svg")).path
    return Network(base.name, genome, values, costs, compiled.decisions.labels(genome), arch, weights, picture)


def inherited(trained: Trained, genome: Genome, found: Compiled) -> dict[str, Tensor]:
    """The supernet's weights of one architecture, with recalibrated statistics, under the names of the found network."""
    trainer = trained.trainer
    plan = trainer.planner(genome)
    recalibrate(plan, trained.calibration)
    source = extract(trained.compiled.graph, trainer.store, genome, plan.statistics).cpu().eval()
    target = extract(found.graph, None, ()).eval()
    state = renamed(source, target)
    target.load_state_dict(state)
    x = torch.randn(
        1,
        *(int(n) for n in (found.graph.input.width, *found.graph.input.extent)),
        generator=torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        if not torch.equal(source(x), target(x)):
            raise RuntimeError("the found text does not compute what was evaluated; please report this space")
    return state


def renamed(source: fx.GraphModule, target: fx.GraphModule) -> dict[str, Tensor]:
    """The state of one network under the names of another with the same operations in the same order."""
    mine, other = source.state_dict(), target.state_dict()
    if [tuple(t.shape) for t in mine.values()] != [tuple(t.shape) for t in other.values()]:
        raise RuntimeError("the found text is another network than the one evaluated; please report this space")
    return {name: value.contiguous() for name, value in zip(other, mine.values(), strict=True)}


def save_weights(path: Path, state: dict[str, Tensor], notes: dict[str, str]) -> Path:
    """A state as safetensors, with its digest beside it in `manifest.json`. `notes` become its entry `hrdsl`."""
    # Several entries would be written in random order (safetensors 0.8): equal weights must be equal files.
    data = save_safetensors({k: v.detach().cpu().contiguous() for k, v in state.items()}, {"hrdsl": json.dumps(notes)})
    write(path, data)
    manifest = path.with_name("manifest.json")
    known: dict[str, Any] = json.loads(manifest.read_text()) if manifest.exists() else {}
    write(
        manifest,
        json.dumps({**known, path.name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}}, indent=2)
        + "\n",
    )
    return path


def load_weights(path: Path) -> dict[str, Tensor]:
    """Weights written by `save_weights`. Raises ValueError if they are damaged."""
    data = path.read_bytes()
    manifest = path.with_name("manifest.json")
    known: dict[str, Any] = json.loads(manifest.read_text()) if manifest.exists() else {}
    want = known.get(path.name, {}).get("sha256")
    if want is not None and hashlib.sha256(data).hexdigest() != want:
        raise ValueError(f"{path} is damaged: its digest is not the one in {manifest.name}")
    try:
        state: dict[str, Tensor] = load_safetensors(data)
    except Exception as fault:
        raise ValueError(f"{path} is no safetensors file: {fault}") from None
    return state


def network_of(found: Compiled, weights: Path | None = None, seed: int = 0) -> fx.GraphModule:
    """The network of a file without open decisions, with saved weights or fresh ones. Raises ValueError if they do not fit."""
    if found.decisions.count().value != 1:
        raise ValueError(
            f"space `{found.space.name}` holds more than one architecture; choose one with `search` or `sample`"
        )
    network = extract(found.graph, None, (0,) * len(found.graph.decisions), seed=seed)
    if weights is not None:
        state, own = load_weights(weights), network.state_dict()
        wrong = sorted(name for name in {*state, *own} if _size(state, name) != _size(own, name))
        if wrong:
            raise ValueError(
                f"{weights} holds another network: {', '.join(wrong[:4])}{' ...' if len(wrong) > 4 else ''}"
            )
        network.load_state_dict(state)
    return network.eval()


def _size(state: dict[str, Tensor], name: str) -> torch.Size | None:
    return state[name].shape if name in state else None


def as_json(networks: Sequence[Network]) -> list[dict[str, Any]]:
    """Networks as plain data."""
    return [
        {
            "name": n.name,
            "path": str(n.arch),
            "weights": str(n.weights),
            "picture": str(n.picture),
            **n.values,
            **n.costs,
            "choices": n.choices,
        }
        for n in networks
    ]
