"""What a pruning did, step by step: units by group, kernel and branch, the cost, the networks. `history.json`."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...compiler.graph import Graph, Node
from ...compiler.units import Group
from ..files import write

if TYPE_CHECKING:
    from .pruning import Pruned

VERSION = 1


def write_history(pruned: "Pruned", path: Path) -> Path:
    """The history as a file; docs/json.md says what is in it."""
    return write(path, json.dumps(history(pruned)) + "\n")


def history(pruned: "Pruned") -> dict[str, Any]:
    """The history as plain data."""
    trainer, graph = pruned.trainer, pruned.compiled.graph
    names = ("name", "budget", "step", "values")
    networks = [{k: report[k] for k in names} for _, report in sorted(trainer.networks.items())]
    return {
        "format": "hrdsl.pruning",
        "version": VERSION,
        "space": pruned.compiled.space.name,
        "steps": trainer.recipe.steps,
        "cost": pruned.job.strategy.options["cost"],
        "full": trainer.full,
        "budgets": list(trainer.settings.budgets),
        "networks": networks,
        "groups": [
            _group(graph, each.group, count) for each, count in zip(trainer.left.left, trainer.start, strict=True)
        ],
        "events": [
            {
                "step": e.step,
                "units": list(e.counts),
                "cost": e.cost,
                "removed": e.removed,
                "forced": e.forced,
                "strength": e.strength,
            }
            for e in trainer.events
        ],
        "left": [each.units.tolist() for each in trainer.left.left],
        "kept": [{"decision": k.decision.path, "reason": k.reason} for k in pruned.kept],
    }


def _group(graph: Graph, group: Group, units: int) -> dict[str, Any]:
    nodes = tied(graph, group)
    return {"decision": group.path, "units": units, "branch": branch(nodes), "kernel": kernel(nodes, group)}


def tied(graph: Graph, group: Group) -> list[Node]:
    """The operations in whose parameters a group has rows."""
    names = {s.weight.rpartition(".")[0] for s in group.slices}
    return [n for n in graph.nodes if n.name in names]


def branch(nodes: Sequence[Node]) -> str:
    """The branch that most of them belong to, else the stage."""
    found = Counter(n.lane for n in nodes if n.lane) or Counter(n.stage or n.name.partition(".")[0] for n in nodes)
    return found.most_common(1)[0][0]


def kernel(nodes: Sequence[Node], group: Group) -> str:
    """`3x3` by the largest filter over pixels; `tokens` where units are tokens; `channels` without filters."""
    if any(n.shape.form == "tokens" and group.decision in n.shape.tokens.deps for n in nodes):
        return "tokens"
    sides = [tuple(a.limit for a in w.axes[2:]) for n in nodes for w in n.weights if len(w.axes) == 4]
    return "x".join(map(str, max(sides))) if sides else "channels"
