"""JSON forms: lossless both ways, true to their schema, and a clear word for whatever is no document."""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pydantic import TypeAdapter

from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_file, compile_module
from hrdsl.compiler.found import found_text
from hrdsl.compiler.graph import Graph, Outputs, Shared, Switch
from hrdsl.compiler.interchange.decode import Decoder
from hrdsl.compiler.interchange.documents import (
    architecture_document,
    digest,
    dumps,
    graph_document,
    model_document,
    read_architecture,
    read_graph,
    read_model,
)
from hrdsl.compiler.interchange.encode import DocumentError, Encoder
from hrdsl.compiler.interchange.forms import DOCUMENTS, OperatorForm, schema
from hrdsl.compiler.module import extract
from hrdsl.compiler.sym import Apply, Decision, Metric
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source

from .spaces import EXAMPLES, SPACES, compile_example, compile_space

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "examples" / "tiny.arch"

ROUTES = """hrdsl 1

use std.blocks

## Values that are sets, cells that are shared, several outputs.
space routed {
  input = [3, 32, 32]
  stem = conv(3, width = 8, stride = 2)
  branch a at 1/2 { width = 8 }
  branch b at 1/4 { width = 8 }
  routes r on a, b {
    layers = 3
    open = true
    down in subsets(range(1, layers), halvings) per branch
    cell in {blocks.residual, blocks.separable} per cell
  }
  heads {
    masks = first -> conv(1, width = 4)
    labels = first -> global_pool -> linear(5)
  }
}

cell first() { out = x[0] + (x[1] -> resize(x[0])) }
"""
PRIOR = """hrdsl 1

space likely {
  input = [3, 16, 16]
  stem = conv(3, width = 8)
  branch main at 1/1 { width in {8, 16, 24} }
  stage a on main {
    cell = conv(3, width)
    times in 1..2
  }
  head = conv(1, width = 4)
  prior main.width {8: 1, 16: 1/3, 24: 0}
}
"""

MORE = {"routes": ROUTES, "prior": PRIOR}

every = pytest.mark.parametrize(
    "case", [*SPACES, *MORE, *EXAMPLES], ids=lambda c: c if isinstance(c, str) else f"examples/{c.stem}"
)


@cache
def compiled(case: str | Path) -> Compiled:
    if case in MORE:
        return compile_module(load_source(Source("s.arch", MORE[str(case)])))
    return compile_space(case) if isinstance(case, str) else compile_example(case)


@cache
def graph_text(case: str | Path) -> str:
    return dumps(graph_document(compiled(case).graph))


def architectures(space: Compiled) -> list[tuple[int, ...]]:
    drawn = space.decisions.sample(np.random.default_rng(1), 4).tolist()
    return [*dict.fromkeys([space.decisions.largest(), space.decisions.smallest(), *map(tuple, drawn)])]


@pytest.fixture
def decisions_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions are equal as objects only; here as what they are. Cells among their values have their labels."""

    def content(d: Decision) -> object:
        plain = tuple(v for v in d.values if isinstance(v, int | Fraction | str | tuple))
        return d.path, d.index, d.labels, plain, d.span

    monkeypatch.setattr(Decision, "__eq__", lambda a, b: isinstance(b, Decision) and content(a) == content(b))
    monkeypatch.setattr(Decision, "__hash__", lambda d: hash(d.path))


# there and back ----------------------------------------------------------------------------------------------------


@every
@pytest.mark.usefixtures("decisions_by_content")
def test_a_graph_comes_back_equal(case: str | Path) -> None:
    graph, again = compiled(case).graph, read_graph(graph_text(case))
    assert again == graph
    assert again.searches == graph.searches
    assert [n.span for n in again.nodes] == [n.span for n in graph.nodes]
    assert [c.span for c in again.sites] == [c.span for c in graph.sites]
    assert str(again) == str(graph)
    assert graph_document(again) == graph_document(graph)
    assert digest(again) == digest(graph)


@every
def test_the_graph_that_comes_back_compiles_to_the_same(case: str | Path) -> None:
    space = compiled(case)
    again = replace(space, graph=read_graph(graph_text(case)), shared={})
    drawn = architectures(space)
    rows = np.array(drawn, dtype=np.int16).reshape(len(drawn), len(space.graph.decisions))
    for name, values in space.costs(rows).items():
        assert (again.costs(rows)[name] == values).all()
    assert again.decisions.count() == space.decisions.count()
    assert again.decisions.largest() == space.decisions.largest()
    for genes in architectures(space)[:2]:
        assert again.decisions.labels(genes) == space.decisions.labels(genes)
        assert case == "routes" or found_text(again, genes) == found_text(space, genes)


@every
def test_the_module_is_the_same_bit_for_bit(case: str | Path) -> None:
    import torch

    graph, again = compiled(case).graph, read_graph(graph_text(case))
    genes = architectures(compiled(case))[-1]
    one, other = (extract(g, None, genes).eval() for g in (graph, again))
    x = torch.randn(
        1, int(graph.input.width), *map(int, graph.input.extent), generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        assert one.code == other.code
        results = [y.values() if isinstance(y, dict) else (y,) for y in (one(x), other(x))]
        assert all(map(torch.equal, *results))


@every
def test_an_architecture_comes_back(case: str | Path) -> None:
    space = compiled(case)
    for genes in architectures(space):
        document = architecture_document(space, genes)
        assert document["costs"] == space.costs.one(genes)
        assert space.decisions.unrank(int(document["index"])) == tuple(genes)
        assert read_architecture(dumps(document), space) == tuple(genes)


@every
def test_a_model_comes_back(case: str | Path) -> None:
    model = compiled(case).model
    again = read_model(dumps(model_document(model)))
    assert (again.spaces, again.runs) == (model.spaces, model.runs)
    assert again.cells == tuple(model.module.cells.values())


def test_the_digest_is_that_of_the_meaning() -> None:
    text = SPACES["depth"]
    same = text.replace("{", "{  # remark\n", 1).replace(" = ", "   =  ").replace("space depth", "space another")
    other = text.replace("{1, 3, 5}", "{1, 3, 7}")
    one, reformatted, changed = (digest(graph(t)) for t in (text, same, other))
    assert one == reformatted
    assert one != changed


def graph(text: str) -> Graph:
    return compile_module(load_source(Source("s.arch", text))).graph


def test_values_are_shared_and_exact() -> None:
    """Forty doublings are forty entries, not 2^40; fractions and large integers stay exact."""
    value: Any = Apply("+", (Metric("macs"), Fraction(1, 3)))
    for _ in range(40):
        value = Apply("*", (value, value))
    value = Apply("max", (value, 2**80 + 1, -(10**30)))
    encoder = Encoder()
    place = encoder(value)
    assert len(encoder.shared) == 43
    shared: Any = TypeAdapter(DOCUMENTS["graph"].model_fields["shared"].rebuild_annotation())
    decoder = Decoder(())
    decoder.share(shared.validate_json(json.dumps(encoder.shared)))
    again = decoder.shared[place["value"]]
    assert again.args[0].args[0] is again.args[0].args[1]
    assert hash(again) == hash(value)
    assert again.args[1:] == (2**80 + 1, -(10**30))


def test_internal_operators() -> None:
    """Those that `.arch` cannot name come back too."""
    form = TypeAdapter(OperatorForm)
    for op in (Switch(0), Shared(1), Outputs(("masks", "classes"))):
        again = Decoder(())(form.validate_json(json.dumps(Encoder()(op))))
        assert (type(again), again) == (type(op), op)


def test_deep_values() -> None:
    """A chain of 5,000 operations needs no deep stack."""
    value: Any = Metric("macs")
    for k in range(5000):
        value = Apply("+", (value, k))
    encoder = Encoder()
    assert encoder(value) == {"value": 5000}


def test_deep_expressions() -> None:
    text = SPACES["depth"].replace("width = 4)", f"width = {'(1 * ' * 55}4{')' * 55})")
    model = compile_module(load_source(Source("s.arch", text))).model
    assert read_model(dumps(model_document(model))).spaces == model.spaces


# the schema --------------------------------------------------------------------------------------------------------


def documents(space: Compiled) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "graph", graph_document(space.graph)
    yield "model", model_document(space.model)
    yield "architecture", architecture_document(space, space.decisions.largest())


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_schema_is_one(kind: str) -> None:
    found = schema(kind)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(found)


@every
def test_documents_follow_the_schema(case: str | Path) -> None:
    for kind, document in documents(compiled(case)):
        jsonschema.Draft202012Validator(schema(kind)).validate(json.loads(dumps(document)))


# what is no document -----------------------------------------------------------------------------------------------

SMALL = "depth"


def broken(change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads(graph_text(SMALL))
    change(document)
    return json.dumps(document)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "version": (lambda d: d.update(version=2), "version 2 is not known; this program reads version 1"),
    "kind": (lambda d: d.update(format="hrdsl.model"), "its format is `hrdsl.model`, not `hrdsl.graph`"),
    "field missing": (lambda d: d.pop("nodes"), "nodes: Field required"),
    "field unknown": (lambda d: d.update(more=1), "more: Extra inputs are not permitted"),
    "operator": (lambda d: d["nodes"][1]["op"].update(operator="os.system"), "no operator `os.system`"),
    "setting": (lambda d: d["nodes"][1]["op"]["settings"].update(kernel="x"), "operator `conv`: `kernel` is 'x'"),
    "settings": (lambda d: d["nodes"][1]["op"]["settings"].pop("kernel"), "operator `conv` has the settings kernel,"),
    "function": (
        lambda d: d["shared"].insert(0, {"type": "apply", "function": "eval", "arguments": []}),
        "no function `eval`",
    ),
    "later node": (lambda d: d["nodes"][1].update(inputs=[5]), "reads a node that does not come before it"),
    "later value": (lambda d: d["shared"][0].update(size={"value": 0}), "shared value 0 is not there, or not yet"),
    "no axis": (lambda d: d["nodes"][0]["shape"].update(channels={"axis": 10**6}), "shared value 1000000 is not there"),
    "output": (lambda d: d.update(output=10**6), "the output, is not there"),
    "names": (lambda d: d["nodes"][2].update(name=d["nodes"][1]["name"]), "have one name"),
    "span": (lambda d: d["nodes"][0].update(span=[0, 5, 10**6]), "does not lie in"),
    "labels": (lambda d: d["decisions"][0]["labels"].pop(), "needs one label for each value"),
    "number": (lambda d: d["nodes"][1]["inputs"].append(1.5), "Input should be a valid integer"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_document_is_refused_in_one_line(name: str) -> None:
    change, message = BROKEN[name]
    with pytest.raises(DocumentError) as raised:
        read_graph(broken(change))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff\xfe", "[" * 100_000, '{"format": NaN}', "1" * 5000])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    for read in (read_graph, read_model):
        with pytest.raises(DocumentError):
            read(text)


def test_mutated_documents_are_read_or_refused() -> None:
    """200 documents with one part replaced: no other exception."""
    dice = random.Random(0)
    for _ in range(200):
        document = json.loads(graph_text(SMALL))
        spots = list(places(document))
        holder, key = dice.choice(spots)
        holder[key] = dice.choice([None, -1, 0, 3, 10**30, 0.5, "x", [], {}, [[]], {"value": 0}, {"axis": 1}, True])
        try:
            read_graph(json.dumps(document))
        except DocumentError as fault:
            assert "\n" not in str(fault)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield value, key
        yield from places(part)


def test_an_architecture_of_another_space_is_refused() -> None:
    space = compiled(SMALL)
    document = architecture_document(space, space.decisions.largest())
    with pytest.raises(DocumentError, match="another graph"):
        read_architecture(dumps(document), compiled("nested"))
    with pytest.raises(DocumentError, match="no such decision or label"):
        read_architecture(dumps({**document, "decisions": {"nowhere": "1"}}), space)
    with pytest.raises(DocumentError, match="active ones"):
        read_architecture(dumps({**document, "decisions": {}}), space)


# the command line and the page -------------------------------------------------------------------------------------


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    status = main([str(w) for w in words])
    return status, capsys.readouterr().out


def test_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    space = compile_file(TINY)
    status, text = printed(capsys, "compile", TINY, "--emit", "json")
    assert (status, json.loads(text)) == (0, graph_document(space.graph))
    text = printed(capsys, "compile", TINY, "--emit", "json", "--smallest")[1]
    assert read_architecture(text, space) == space.decisions.smallest()
    text = printed(capsys, "compile", TINY, "--emit", "model-json")[1]
    assert json.loads(text) == model_document(space.model)
    path = tmp_path / "model.json"
    path.write_text(text, encoding="utf-8")
    assert printed(capsys, "schema", "model", path) == (0, f"{path}: ok\n")
    assert printed(capsys, "schema", "graph", path)[0] == 1
    assert json.loads(printed(capsys, "schema", "graph")[1]) == schema("graph")
    assert printed(capsys, "schema", "graph", tmp_path / "none.json")[0] == 2


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    """The worked example of docs/json.md: its documents are those of its file."""
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```arch\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    shown = [json.loads(b) for b in re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]
    space = compile_module(load_source(Source("small.arch", text)))
    graph = graph_document(space.graph)
    assert shown[0] == {**graph, "sources": [{**graph["sources"][0], "text": "..."}]}
    assert shown[1] == architecture_document(space, space.decisions.smallest())
