"""The documents: a graph, an architecture or a model as plain JSON data, and back from JSON text."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ...dsl.model import Model, Run, Space
from ...dsl.syntax import Block
from ..graph import Graph
from .encode import VERSION, DocumentError, Encoder

if TYPE_CHECKING:
    from ..api import Compiled
    from .forms import Form

LARGEST = 1 << 28
"""No document is longer, in bytes."""
IDENTITY = ("nodes", "output", "decisions", "constraints")
"""What makes two graphs the same graph."""


def _head(kind: str) -> dict[str, Any]:
    return {"format": f"hrdsl.{kind}", "version": VERSION}


def _sources(encoder: Encoder) -> list[dict[str, str]]:
    return [{"name": s.name, "text": s.text} for s in encoder.sources]


# graph -------------------------------------------------------------------------------------------------------------


def graph_document(graph: Graph) -> dict[str, Any]:
    """A graph as plain data. Lossless; a cell among the values of a decision is its label."""
    encoder = Encoder()
    parts = _parts(encoder, graph, [f.name for f in fields(graph)])
    return {**_head("graph"), "name": graph.name, "sources": _sources(encoder), "shared": encoder.shared, **parts}


def _parts(encoder: Encoder, graph: Graph, names: Sequence[str]) -> dict[str, Any]:
    """The fields of a graph, encoded."""
    parts = {n: encoder(getattr(graph, n)) for n in names if n != "decisions"}
    return {"decisions": [encoder.decision(d) for d in graph.decisions], **parts}


def read_graph(text: str | bytes) -> Graph:
    """The graph of a document. Raises DocumentError."""
    from .decode import Decoder, verify

    form: Any = read("graph", text)
    decoder = Decoder(form.sources, form.decisions)
    decoder.share(form.shared)
    given = decoder.given(form, [f.name for f in fields(Graph) if f.name != "decisions"])
    return verify(Graph(**given, decisions=tuple(decoder.decisions)))


def digest(graph: Graph) -> str:
    """SHA-256 of what a graph is: the same for every layout of its text, another one for any other graph."""
    encoder = Encoder(places=False)
    parts = _parts(encoder, graph, IDENTITY)
    text = json.dumps({**_head("graph"), "shared": encoder.shared, **parts}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# architecture ------------------------------------------------------------------------------------------------------


def architecture_document(compiled: "Compiled", genes: Sequence[int]) -> dict[str, Any]:
    """One architecture of a space as plain data."""
    return {
        **_head("architecture"),
        "space": compiled.space.name,
        "graph": digest(compiled.graph),
        "decisions": compiled.decisions.labels(genes),
        **_index(compiled, genes),
        "costs": compiled.costs.one(genes),
    }


def _index(compiled: "Compiled", genes: Sequence[int]) -> dict[str, str]:
    """The number of the architecture, where architectures have numbers."""
    try:
        return {"index": str(compiled.decisions.rank(genes))}
    except ValueError:
        return {}


def read_architecture(text: str | bytes, compiled: "Compiled") -> tuple[int, ...]:
    """The genome of a document in the space it was written for. Raises DocumentError."""
    import numpy as np

    form: Any = read("architecture", text)
    if form.graph != digest(compiled.graph):
        raise DocumentError(f"this architecture belongs to another graph than that of `{compiled.space.name}`")
    try:
        genes = compiled.decisions.read(form.decisions)
    except (KeyError, ValueError) as fault:
        raise DocumentError(f"no such decision or label: {fault}") from None
    if compiled.decisions.labels(genes) != form.decisions:
        raise DocumentError("the decisions are not the active ones of an architecture")
    if not compiled.decisions.feasible(np.array([genes], dtype=np.int16).reshape(1, -1))[0]:
        raise DocumentError("a constraint of the space is broken")
    return genes


# model -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Declared:
    """What the document of a model holds beside the names of the modules it uses."""

    cells: tuple[Block, ...]
    spaces: tuple[Space, ...]
    runs: tuple[Run, ...]


def model_document(model: Model) -> dict[str, Any]:
    """The typed model of a file as plain data; of the modules it uses the names only."""
    encoder = Encoder()
    parts = {
        "cells": encoder(tuple(model.module.cells.values())),
        "spaces": encoder(model.spaces),
        "runs": encoder(model.runs),
    }
    uses = {alias: {"name": m.source.name, "cells": sorted(m.cells)} for alias, m in model.module.uses.items()}
    return {**_head("model"), "sources": _sources(encoder), "uses": uses, **parts}


def read_model(text: str | bytes) -> Declared:
    """What the document of a model declares. Raises DocumentError."""
    from .decode import Decoder

    form: Any = read("model", text)
    decoder = Decoder(form.sources)
    return Declared(decoder(form.cells), decoder(form.spaces), decoder(form.runs))


# any document ------------------------------------------------------------------------------------------------------


def dumps(document: Mapping[str, Any]) -> str:
    """A document as text: one line for each entry of its lists, so that differences can be read."""
    rows = [f" {json.dumps(key)}: {_rows(value)}" for key, value in document.items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _rows(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(v, ensure_ascii=False)}" for v in value) + "\n ]"
    return json.dumps(value, ensure_ascii=False)


def read(kind: str, text: str | bytes) -> "Form":
    """A document of one kind, validated. Raises DocumentError."""
    from pydantic import ValidationError

    from .forms import DOCUMENTS, Header

    if len(text) > LARGEST:
        raise DocumentError(f"longer than {LARGEST:,} bytes")
    try:
        header = Header.model_validate_json(text)
    except ValidationError as fault:
        raise DocumentError(f"no document: {_first(fault)}") from None
    if header.format != f"hrdsl.{kind}":
        raise DocumentError(f"its format is `{header.format}`, not `hrdsl.{kind}`")
    if header.version != VERSION:
        raise DocumentError(f"version {header.version} is not known; this program reads version {VERSION}")
    try:
        return DOCUMENTS[kind].model_validate_json(text)
    except ValidationError as fault:
        raise DocumentError(_first(fault)) from None


def _first(fault: Any) -> str:
    """The first fault and its place, in one line."""
    one = fault.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, one["loc"]))
    return f"{place}: {one['msg']}" if place else str(one["msg"])


READERS: dict[str, Callable[[str | bytes], Any]] = {
    "graph": read_graph,
    "architecture": lambda text: read("architecture", text),
    "model": read_model,
}
"""How far each kind of document can be checked by itself."""
