"""Cost conventions against operations counted while the network runs, against sums by hand and against published figures."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.cli.explain import explain
from hrdsl.cli.library import modules
from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_file, compile_module
from hrdsl.compiler.constraints import computed
from hrdsl.compiler.conventions import CONVENTIONS, DEFAULT, QUANTITIES, Convention, Rule
from hrdsl.compiler.cost import Costs
from hrdsl.compiler.module import extract
from hrdsl.compiler.ops import operators
from hrdsl.compiler.sym import at
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source

from .spaces import SPACES, compile_space

ROOT = Path(__file__).parents[1]
SEGFORMER = ROOT / "examples" / "classics" / "segformer_b0.arch"
DEMO = str(ROOT / "examples" / "demo.arch")
PAGE = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")


@cache
def space(name: str) -> Compiled:
    return compile_space(name)


def text(body: str) -> Compiled:
    return compile_module(load_source(Source("test.arch", f"hrdsl 1\n\n{body}")))


def genomes(compiled: Compiled, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(5)
    sizes = compiled.decisions.cardinalities
    return rng.integers(0, sizes or (), (count, len(sizes))).astype(np.int16)


def of_rules(*rules: Rule) -> Convention:
    return Convention("own", "", "", rules)


# against what runs -------------------------------------------------------------------------------------------------


class Counted(TorchFunctionMode):
    """What a network computes as it runs: results with a bias added, normalised numbers, products of matrices."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        biased = func in (torch.conv2d, torch.conv_transpose2d, F.linear) and args[2] is not None
        self.found["biases"] += out.numel() if biased else 0
        self.found["ln"] += out.numel() if func is F.layer_norm else 0
        self.found["bn"] += out.numel() if func is F.batch_norm else 0
        self.found["attention"] += out.numel() * args[0].shape[-1] if func is torch.matmul else 0
        return out


def run(compiled: Compiled, genes: Sequence[int]) -> Counter[str]:
    x = compiled.graph.input
    network = extract(compiled.graph, None, genes).eval()
    image = torch.zeros(1, int(at(x.width, genes)), *(int(at(e, genes)) for e in x.extent))
    with torch.no_grad(), FlopCounterMode(display=False) as flops, Counted() as counted:
        network(image)
    return counted.found + Counter({"macs": flops.get_total_flops() // 2})


WANTED: dict[str, Callable[[Counter[str]], Fraction | int]] = {
    "macs": lambda n: n["macs"],
    "flops": lambda n: 2 * n["macs"],
    "hrvit-paper": lambda n: n["macs"] - Fraction(n["attention"], 2) + n["biases"] + n["ln"],
    "hyctas-table2": lambda n: n["macs"] - n["attention"] + n["biases"] + 2 * n["bn"],
    "hyctas-table3": lambda n: n["macs"],
    "hyctas-table7": lambda n: n["macs"] - n["attention"],
    "hrnas-profiler": lambda n: n["macs"],
}
"""What each convention counts where no cell is a transformer."""


def operations(compiled: Compiled, genes: Sequence[int]) -> dict[str, Any]:
    return {name: Costs(compiled.graph, c).one(genes)["operations"] for name, c in CONVENTIONS.items()}


def test_every_convention_is_tested() -> None:
    assert list(WANTED) == list(CONVENTIONS)


@pytest.mark.parametrize("name", SPACES)
def test_operations_are_those_that_run(name: str) -> None:
    compiled = space(name)
    for genes in (compiled.decisions.largest(), compiled.decisions.smallest()):
        counted = run(compiled, genes)
        assert operations(compiled, genes) == {c: wanted(counted) for c, wanted in WANTED.items()}


def test_operations_of_a_transformer_that_runs() -> None:
    compiled = compile_file(SEGFORMER, settings={"size": 64})
    counted = run(compiled, ())
    assert counted["attention"] and counted["biases"] and counted["ln"] and counted["bn"]
    assert operations(compiled, ()) == {c: wanted(counted) for c, wanted in WANTED.items()}


# against walks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPACES)
def test_populations_are_walks(name: str) -> None:
    """Every architecture of a matrix of genes is the sum over its live nodes."""
    compiled, genes = space(name), genomes(space(name))
    for convention in CONVENTIONS.values():
        costs = Costs(compiled.graph, convention)
        found = costs(genes, peak=False)
        assert found["operations"].tolist() == [walk(compiled, convention, g) for g in genes.tolist()]
        assert all((found[n] == v).all() for n, v in compiled.costs(genes, peak=False).items())


def walk(compiled: Compiled, convention: Convention, genes: Sequence[int]) -> Fraction:
    total = 0
    for node in computed(compiled.graph, genes):
        total += sum(prod(at(f, genes) for f in factors) for factors in convention.products(compiled.graph, node))
    return Fraction(total, convention.unit)


# rules -------------------------------------------------------------------------------------------------------------

ODD = """space s {
  input = [3, 5, 5]
  stem = conv(1, 1) -> to_tokens
  head = mix(width in {1, 2})
}
cell mix(width) {
  out = attention(x, x, x -> linear(width))
}
"""


def test_halves_are_exact() -> None:
    compiled = text(ODD)
    costs = compiled.counted("hrvit-paper")
    attention = {1: 25 * 25 * 2, 2: 25 * 25 * 3}
    wanted = [Fraction(attention[w], 2) + 75 + 25 * w + 25 * w for w in (1, 2)]
    assert [costs.one([g])["operations"] for g in (0, 1)] == wanted
    assert costs(np.array([[0], [1]], dtype=np.int16))["operations"].tolist() == wanted
    assert isinstance(costs.one([0])["operations"], int)


def test_first_rule_that_fits() -> None:
    """Names stand for cells and entries, with the number that tells a second from the first."""
    compiled = text(
        "cell part() { out = x -> linear(4, bias = false) }\n"
        "cell two() {\n  first = x -> part -> part\n  out = first -> linear(2)\n}\n"
        "space s {\n  input = [8, 4, 4]\n  head = to_tokens -> two\n}\n"
    )
    names = [n.name for n in compiled.graph.nodes if n.op.name == "linear"]
    assert [name.split(".")[-2] for name in names] == ["part", "part2", "two"]

    def count(*rules: Rule) -> int:
        found: int = Costs(compiled.graph, of_rules(*rules)).one(())["operations"]
        return found

    every = Rule("macs", 1)
    first, second, last = 16 * 8 * 4, 16 * 4 * 4, 16 * 4 * 2
    assert count(every) == first + second + last
    assert count(Rule("macs", 0, (), ("part",)), every) == last
    assert count(Rule("macs", 0, (), ("part2",)), every) == first + last
    assert count(Rule("macs", 0, (), ("first",)), every) == last
    assert count(Rule("macs", 0, (), ("par",)), every) == first + second + last
    assert count(every, Rule("macs", 0, (), ("part",))) == first + second + last
    assert count(Rule("macs", 0, ("conv",)), every) == first + second + last
    assert count(Rule("points", 3, ("linear",))) == 3 * 3 * 16
    assert count(Rule("biases", 1)) == 2 * 16
    assert count(Rule("elements", 1, ("linear",), ("part",))) == 2 * 4 * 16
    assert count() == 0


def test_names_of_rules_exist() -> None:
    """Operators or families, and cells of the library."""
    rules = [rule for c in CONVENTIONS.values() for rule in c.rules]
    kinds = {name for kind in operators().values() for name in (kind.name, kind.family)}
    cells = {cell for module in modules().values() for cell in module.cells}
    assert {name for rule in rules for name in rule.operators} <= kinds
    assert {name for rule in rules for name in rule.within} <= cells


def test_copies_are_counted() -> None:
    compiled = text(
        "cell cut() { out = x -> windows(4, 4) -> ln -> conv(1, 3, bias = true) -> from_windows(x) }\n"
        "space s {\n  input = [2, 6, 6]\n  head = cut\n}\n"
    )
    rules = (Rule("points", 1, ("ln",)), Rule("elements", 1, ("ln",)), Rule("biases", 1), Rule("macs", 1))
    found = [Costs(compiled.graph, of_rules(rule)).one(())["operations"] for rule in rules]
    assert found == [4 * 16, 4 * 16 * 2, 4 * 16 * 3, 4 * 16 * 6]


def test_constraints_read_macs() -> None:
    """A convention changes no end of a space and no constraint."""
    compiled = space("demo") if "demo" in SPACES else compile_file(DEMO)
    before = (compiled.decisions.largest(), compiled.decisions.smallest())
    compiled.counted("flops")
    assert (compiled.decisions.largest(), compiled.decisions.smallest()) == before
    assert set(compiled.costs.one(before[0])) == {"parameters", "macs", "peak_activation_bytes"}
    assert compiled.counted(DEFAULT) is compiled.costs


def test_unknown_name() -> None:
    with pytest.raises(KeyError):
        compile_file(DEMO).counted("nonsense")


# the command line --------------------------------------------------------------------------------------------------

Json = Callable[..., dict[str, Any]]


@pytest.fixture
def as_json(capsys: pytest.CaptureFixture[str]) -> Json:
    def run(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        data: dict[str, Any] = json.loads(capsys.readouterr().out)
        return data

    return run


@pytest.mark.parametrize("verb", ["cost", "compile"])
def test_a_line_under_the_macs(verb: str, as_json: Json, capsys: pytest.CaptureFixture[str]) -> None:
    data = as_json(verb, DEMO, "--convention", "flops")
    assert data["convention"] == "flops"
    assert all(side["operations"] == 2 * side["macs"] for side in (data, data["smallest"]))
    assert main([verb, DEMO, "--convention", "flops"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = [i for i, line in enumerate(lines) if line.split()[:1] == ["flops"]]
    assert lines[row - 1].split()[0] == "MACs" and lines[row].endswith(f"{data['operations']:,}")


@pytest.mark.parametrize("verb", ["cost", "compile", "sample"])
def test_macs_are_the_default(verb: str, as_json: Json) -> None:
    plain = as_json(verb, DEMO)
    assert plain == as_json(verb, DEMO, "--convention", DEFAULT)
    assert "operations" not in json.dumps(plain) and "convention" not in plain


def test_populations(as_json: Json, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("cost", DEMO, "--convention", "flops", "--population", "20")
    population = as_json(*words)["population"]
    assert population["operations"] == {k: 2 * v for k, v in population["macs"].items()}
    assert main(list(words)) == 0
    assert "flops" in capsys.readouterr().out


def test_populations_with_halves(as_json: Json, tmp_path: Path) -> None:
    path = tmp_path / "odd.arch"
    path.write_text(f"hrdsl 1\n\n{ODD}")
    data = as_json("cost", str(path), "--convention", "hrvit-paper", "--population", "20")
    assert data["operations"] == data["population"]["operations"]["max"] == 1112.5
    assert data["smallest"]["operations"] == data["population"]["operations"]["min"] == 750


def test_samples(as_json: Json, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("sample", DEMO, "-n", "3", "--convention", "hyctas-table7")
    data, compiled = as_json(*words), compile_file(DEMO)
    assert data["convention"] == "hyctas-table7"
    for one in data["architectures"]:
        costs = compiled.counted("hyctas-table7").one(compiled.decisions.read(one["decisions"]))
        assert {k: one[k] for k in costs} == costs
    assert main(list(words)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(
        f": {one['operations']:,} hyctas-table7: " in line
        for one, line in zip(data["architectures"], lines, strict=True)
    )


def test_emit_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", DEMO, "--emit", "cost", "--convention", "flops", "--largest"]) == 0
    found = dict(line.split(" = ") for line in capsys.readouterr().out.splitlines())
    assert list(found) == ["parameters", "macs", "operations", "peak_activation_bytes"]
    assert int(found["operations"]) == 2 * int(found["macs"])
    assert main(["compile", DEMO, "--emit", "graph", "--convention", "flops"]) == 2
    assert "--emit cost" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["cost", "compile", "sample"])
def test_usage(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, DEMO, "--convention", "nonsense"]) == 2
    said = capsys.readouterr().err
    assert "nonsense" in said and "hrvit-paper" in said
    assert main([verb, "--help"]) == 0
    helped = " ".join(capsys.readouterr().out.split())
    assert all(name in helped for name in CONVENTIONS)


# documents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVENTIONS)
def test_explained(name: str) -> None:
    (answer,) = [a for a in explain(name) if a["kind"] == "convention"]
    assert answer["text"].startswith(f"convention {name}: {CONVENTIONS[name].title}\n")
    assert len(answer["rules"]) == len(CONVENTIONS[name].rules)
    assert all(rule in answer["text"] for rule in answer["rules"])
    (listing,) = explain("convention")
    assert name in listing["conventions"] and CONVENTIONS[name].title in listing["text"]


def test_page() -> None:
    """Every convention and every quantity has a row."""
    rows = [line.split("|")[1].strip(" `") for line in PAGE.splitlines() if line.startswith("| `")]
    assert rows == [*CONVENTIONS, *QUANTITIES]


def test_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    for code in PAGE.split("```python\n")[1:]:
        exec(code.partition("```")[0], names)
    assert set(names["costs"].one(names["space"].decisions.largest())) >= {"operations", "macs"}


# figures of the released code -------------------------------------------------------------------------------------

FACTS = Path(__file__).with_name("facts")
SWITCHES = {
    "kv": "block.shared_kv",
    "pe": "enter.embed.efficient_embed",
    "mix": "block.mix_cfn",
    "pconv": "block.parallel_conv",
    "nonlin": "block.nonlinearity",
    "dense": "enter.exchange.dense",
    "des": "block.des",
}
"""The rows of HRViT, Table 5, and the decision that each takes away."""


def fact(name: str) -> Any:
    return json.loads((FACTS / f"{name}.json").read_text(encoding="utf-8"))


def without(row: str) -> set[str]:
    """What a row of Table 5 goes without; the first `all` keeps the dense fusion."""
    if row in ("-all", "-all+sparse"):
        return set(SWITCHES) - (set() if "sparse" in row else {"dense"})
    return {row.removeprefix("-")} - {"base"}


def test_hrvit_table_5() -> None:
    compiled = compile_file(ROOT / "examples" / "hrvit" / "table5.arch")
    rows = fact("hrvit/table5_ablation")
    labels = [{path: "false" if key in without(row) else "true" for key, path in SWITCHES.items()} for row in rows]
    genes = np.array([compiled.decisions.read(one) for one in labels], dtype=np.int16)
    found = compiled.counted("hrvit-paper")(genes, peak=False)
    assert found["operations"].tolist() == [row["paper_conv"] for row in rows.values()]
    assert found["macs"].tolist() == [row["macs"] for row in rows.values()]


PROFILED = fact("hrnas/profiler")["rows"]


@pytest.mark.parametrize("row", PROFILED, ids=lambda r: "-".join(map(str, (r["file"], *r["settings"].values()))))
def test_hrnas_profiler(row: dict[str, Any]) -> None:
    compiled = compile_file(ROOT / "examples" / "hrnas" / f"{row['file']}.arch", settings=row["settings"])
    most = [len(d) - 1 for d in compiled.graph.decisions]
    costs = Costs(compiled.graph, CONVENTIONS["hrnas-profiler"])(np.array([most], dtype=np.int16), peak=False)
    assert (costs["macs"][0], costs["operations"][0]) == (row["macs"], row["profiler"])


NORMS = of_rules(Rule("elements", 2, ("bn",)))
GRID = fact("hyctas/params_flops_grid")


@pytest.mark.parametrize("row", GRID[::7], ids=lambda r: "-".join(str(r[k]) for k in list(r)[:4]))
def test_hyctas_tables(row: dict[str, Any]) -> None:
    """Table 2 counts convolutions, biases and normalised numbers, Table 3 both kinds of products, Table 7 convolutions."""
    settings = {
        "filters": row["Fch"],
        "ratio": Fraction(row["stem_head_width"]),
        "head_type": row["model_type"],
        "training": 1,
    }
    compiled = compile_file(ROOT / "examples" / "hyctas" / f"{row['arch'].lower()}.arch", settings=settings)
    two, three, seven = (compiled.counted(f"hyctas-table{k}").one(())["operations"] for k in (2, 3, 7))
    norms, biases = (Costs(compiled.graph, c).one(())["operations"] for c in (NORMS, of_rules(Rule("biases", 1))))
    assert norms == row["bn_elems_x2"]
    assert (seven, three) == (row["conv_macs"], row["conv_macs"] + row["bmm_macs"])
    assert two == seven + norms + biases
