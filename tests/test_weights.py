"""Released weights: patterns, maps, transforms, checkpoints, what does not fit, and the command."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, fx, nn

from hrdsl.cli.main import USAGE, main
from hrdsl.compiler.api import Compiled, compile_file, compile_module
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source
from hrdsl.runtime.results import load_weights, network_of
from hrdsl.runtime.weights import checkpoints, importing, maps
from hrdsl.runtime.weights.patterns import Pattern, filled

from . import vectors

ROOT = Path(__file__).resolve().parent.parent
SPACE = """
cell mixed(width) {
  q = x -> conv(1, width, bias = true)
  k = x -> conv(1, width, bias = true)
  out = if width > 2 then q + k -> depthwise(3) -> bn -> relu else x
}
space s {
  input = [3, 8, 8]
  body = conv(3, width = 4) -> mixed(4) -> mixed(4)
  head = body -> scale(1) -> conv(1, width = 5, bias = true)
}
"""
MAP = """
[network]
"head.body.conv.weight" = "stem.0.weight | stem.*.kernel"
"head.body.mixed{n}" = "blocks.{n-1} as mixed"
"head.scale.weight" = "gamma"
"head.conv" = ["high", "low"]

[mixed]
"q.conv" = "qk[0:1/2]"
"k.conv" = "qk[1/2:1]"
"depthwise" = "dw"
"bn" = "norm"
ignore = ["dead.**"]
"""


@cache
def compiled(text: str = SPACE) -> Compiled:
    return compile_module(load_source(Source("s.arch", f"hrdsl 1\n{text}")))


def released() -> dict[str, Tensor]:
    """A state that fits `SPACE` by `MAP`."""
    draw = torch.Generator().manual_seed(3)

    def tensor(*size: int) -> Tensor:
        return torch.rand(size, generator=draw) + 0.5

    state = {
        "stem.0.weight": tensor(4, 3, 3, 3),
        "gamma": tensor(),
        "high.weight": tensor(2, 4),
        "low.weight": tensor(3, 4),
    }
    state |= {"high.bias": tensor(2), "low.bias": tensor(3)}
    for b in ("blocks.0", "blocks.1"):
        state |= {f"{b}.qk.weight": tensor(8, 4), f"{b}.qk.bias": tensor(8), f"{b}.dw.weight": tensor(4, 1, 3, 3)}
        state |= {f"{b}.norm.{n}": tensor(4) for n in ("weight", "bias", "running_mean", "running_var")}
        state |= {f"{b}.norm.num_batches_tracked": torch.tensor(7), f"{b}.dead.conv.weight": tensor(1)}
    return state


def fit(state: dict[str, Tensor], text: str = MAP, **options: Any) -> importing.Imported:
    chart = maps.read(text)
    return importing.fit(network_of(compiled()), state, chart, next(iter(chart.sections)), **options)


# patterns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "indices", "rest"),
    [
        ("a.b", "a.b.weight", {}, "weight"),
        ("a.b", "a.b", {}, ""),
        (".", "a.b", {}, "a.b"),
        ("conv{i}", "conv.weight", {"i": 1}, "weight"),
        ("conv{i}", "conv12.weight", {"i": 12}, "weight"),
        ("s{m}.fine[{k}]", "s2.fine[3].x", {"m": 2, "k": 3}, "x"),
        ("ops.{k}", "ops.0.x", {"k": 0}, "x"),
        ("{b=low,high}.x", "high.x.weight", {"b": 1}, "weight"),
        ("*.x", "any[2].x.weight", {}, "weight"),
        ("a.**.x", "a.x.weight", {}, "weight"),
        ("a.**.x", "a.b.c.x.weight", {}, "weight"),
        ("a.b", "a.yes.no.b.weight", {}, "weight"),
        ("a.no.b", "a.no.b.weight", {}, "weight"),
        ("s{m}.t{m}", "s.t1.x", {"m": 1}, "x"),
    ],
)
def test_patterns_match(pattern: str, name: str, indices: dict[str, int], rest: str) -> None:
    assert (indices, rest) in list(Pattern(pattern).matches(name))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("a.b", "a.bc"),
        ("a", "b.a"),
        ("conv{i}", "conv_bn.x"),
        ("a[{k}]", "a.x"),
        ("s{m}.t{m}", "s2.t3"),
        ("*.x", "a.b.x"),
    ],
)
def test_patterns_do_not_match(pattern: str, name: str) -> None:
    assert name not in Pattern(pattern)


@pytest.mark.parametrize(
    ("template", "text"),
    [("l{n}", "l5"), ("l{n+1}.{(k-1)//4}.{(k-1)%4}", "l6.1.2"), ("{2*n-k}", "3"), ("{ 7 }", "7")],
)
def test_braces_are_computed(template: str, text: str) -> None:
    assert filled(template, {"n": 5, "k": 7}) == text


@pytest.mark.parametrize("template", ["{m}", "{n/2}", "{n//0}", "{n.real}", "{}", "{f(n)}", "{1.5}"])
def test_braces_hold_sums_of_indices_only(template: str) -> None:
    with pytest.raises(ValueError, match="is no sum of indices"):
        filled(template, {"n": 5})


# maps --------------------------------------------------------------------------------------------------------------


def test_everything_finds_its_place() -> None:
    state = released()
    made = fit(state)
    network = network_of(compiled())
    ours = {name: made.state[key] for name, key in importing.names(network).items()}
    assert made.faults == [] and len(made.rows) == len(ours)
    assert torch.equal(ours["head.body.conv.weight"], state["stem.0.weight"])
    assert torch.equal(ours["head.body.mixed2.k.conv.weight"][:, :, 0, 0], state["blocks.1.qk.weight"][4:])
    assert torch.equal(ours["head.body.mixed.q.conv.bias"], state["blocks.0.qk.bias"][:4])
    assert torch.equal(ours["head.body.mixed.yes.bn.running_var"], state["blocks.0.norm.running_var"])
    assert torch.equal(ours["head.scale.weight"], state["gamma"][None])
    assert torch.equal(ours["head.conv.bias"], torch.cat([state["high.bias"], state["low.bias"]]))
    assert sorted(made.ignored) == ["blocks.0.dead.conv.weight", "blocks.1.dead.conv.weight"]


def test_every_map_of_the_package_is_read() -> None:
    for name in maps.known():
        assert maps.load(name)[1] in maps.load(name)[0].sections
    page = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    assert all(f"\n| `{name}` | " in page for name in maps.known())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", "no TOML"),
        ("", "no section"),
        ('a = "b"', "outside of a section"),
        ("[s]\na = 3", "a place of theirs"),
        ("[s]\na = []", "a place of theirs"),
        ('[s]\na = "b as t"', "no section `t`"),
        ('[s]\nignore = "a"', "a list of patterns"),
    ],
)
def test_maps_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(maps.MapError, match=words):
        maps.read(text)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('"head.body.mixed{n}" = "blocks.{m}"', "sum of indices"),
        ('"head.body" = "qk[a:1]"', "Fraction|literal"),
        ('"head.body" = "qk[1/0:1]"', "Fraction|zero"),
    ],
)
def test_entries_that_cannot_be_computed(entry: str, words: str) -> None:
    with pytest.raises(maps.MapError, match=words):
        fit(released(), f"[network]\n{entry}")


def test_a_section_that_refers_to_itself_ends() -> None:
    assert fit(released(), '[a]\n"." = ". as b"\n[b]\n"." = ". as a"').rows == []


def test_a_section_that_others_share() -> None:
    text = MAP.replace('"head.scale.weight" = "gamma"\n', "").replace(
        '"head.conv" = ["high", "low"]', '"." = ". as rest"'
    )
    assert (
        fit(released(), text + '\n[rest]\n"head.scale.weight" = "gamma"\n"head.conv" = ["high", "low"]\n').faults == []
    )


# what does not fit -------------------------------------------------------------------------------------------------


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__delitem__(name)


def with_(name: str, *size: int) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__setitem__(name, torch.ones(size))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without("gamma"), "`head.scale.weight` needs `gamma`, which the checkpoint lacks"),
        (with_("more.bias", 3), "`more.bias` [3] of the checkpoint is taken by nothing"),
        (with_("stem.1.kernel", 4, 3, 3, 3), "`stem.0.weight` and `stem.1.kernel` should be one tensor, and differ"),
        (with_("gamma", 2), "`head.scale.weight` [1] does not fit `gamma` [2]"),
        (with_("low.bias", 2), "`head.conv.bias` [5] does not fit `high.bias` [2] + `low.bias` [2]"),
        (
            with_("low.weight", 3, 5),
            "`head.conv.weight` [5, 4, 1, 1] does not fit `high.weight` [2, 4] + `low.weight` [3, 5]",
        ),
        (with_("blocks.0.qk.bias", 7), "`blocks.0.qk.bias` [7] has no [0:1/2]"),
    ],
)
def test_what_does_not_fit_is_named(change: Callable[[dict[str, Tensor]], None], fault: str) -> None:
    state = released()
    change(state)
    assert fault in fit(state).faults


def test_the_nearest_name_is_offered() -> None:
    state = released()
    state["blocks.1.qkv.bias"] = state.pop("blocks.1.qk.bias")
    made = fit(state)
    assert made.faults == [
        "`head.body.mixed2.q.conv.bias` needs `blocks.1.qk.bias`, which the checkpoint lacks; did you mean `blocks.1.qkv.bias`?",
        "`head.body.mixed2.k.conv.bias` needs `blocks.1.qk.bias`, which the checkpoint lacks; did you mean `blocks.1.qkv.bias`?",
        "`blocks.1.qkv.bias` [8] of the checkpoint is taken by nothing",
    ]


def test_a_tensor_that_is_taken_in_part() -> None:
    made = fit(released(), MAP.replace('"qk[1/2:1]"', '"qk[0:1/2]"'))
    assert len(made.faults) == 4
    assert "`blocks.1.qk.weight` [8, 4] of the checkpoint is taken in part only" in made.faults


def test_columns_and_shares_by_index() -> None:
    """Two linear layers that read halves of the columns of one, the second by its number."""
    state = {"all.weight": torch.arange(24.0).view(3, 8)}
    text = "cell two() { out = (x -> conv(1, width = 3)) + (x -> conv(1, width = 3)) }\n"
    text += "space s {\n  input = [4, 2, 2]\n  head = two\n}\n"
    network = network_of(compiled(text))
    made = importing.fit(network, state, maps.read('[s]\n"head.two.conv{i}" = "all[:, {i-1}/2:{i}/2]"'), "s")
    halves = [made.state[key].flatten(1) for key in importing.names(network).values()]
    assert made.faults == [] and torch.equal(torch.cat(halves, 1), state["all.weight"])


def test_copies_are_equal_to_what_was_taken() -> None:
    """What stands again under another name, as cells that branches share."""
    state = released()
    again = {
        k.replace("blocks.0", "again.0"): v.clone() for k, v in state.items() if "blocks.0" in k and "dead" not in k
    }
    text = MAP.replace("[mixed]", 'copies = ["again"]\n\n[mixed]')
    made = fit(state | again, text)
    assert made.faults == [] and "again.0.dw.weight" in made.ignored
    again["again.0.dw.weight"] += 1
    assert fit(state | again, text).faults == ["`again.0.dw.weight` [4, 1, 3, 3] of the checkpoint is taken by nothing"]


def test_no_entry_leads_there() -> None:
    made = fit(released(), MAP.replace('"head.scale.weight" = "gamma"\n', ""))
    assert "`head.scale.weight`: no entry of the section `network` leads to it" in made.faults
    assert "`gamma` [] of the checkpoint is taken by nothing" in made.faults


def test_fresh_values_stay_and_names_are_ignored() -> None:
    state = released() | {"high.weight": torch.ones(7, 4), "aux.weight": torch.ones(1)}
    made = fit(state, fresh=["head.conv"], ignore=["aux"])
    network = network_of(compiled())
    assert made.faults == [] and made.fresh == ["head.conv.weight", "head.conv.bias"] and "aux.weight" in made.ignored
    key = importing.names(network)["head.conv.weight"]
    assert torch.equal(made.state[key], network.state_dict()[key])


def test_a_module_at_a_place() -> None:
    text = MAP[MAP.index("[mixed]") :]
    state = {k.removeprefix("blocks.0."): v for k, v in released().items() if k.startswith("blocks.0.")}
    made = fit(
        state, text, at="head.body.mixed", fresh=["head.scale", "head.conv", "head.body.conv", "head.body.mixed2"]
    )
    assert made.faults == [] and len(made.rows) == 9
    made = fit(state, text, at="head.body.mixed")
    assert "`head.scale.weight`: it lies outside of `head.body.mixed`" in made.faults


def test_half_precision_becomes_that_of_the_network() -> None:
    made = fit({k: v.half() for k, v in released().items()})
    assert made.faults == [] and {v.dtype for v in made.state.values()} == {torch.float32, torch.int64}


# checkpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pth", "nested", "parallel", "safetensors", "npz"])
def test_checkpoints_are_read(kind: str, tmp_path: Path) -> None:
    state, path = released(), tmp_path / f"c.{kind if kind in ('safetensors', 'npz') else 'pth'}"
    match kind:
        case "pth":
            torch.save(state, path)
        case "nested":
            torch.save({"epoch": 3, "optimizer": {"state": {}}, "state_dict": state}, path)
        case "parallel":
            torch.save({"model": {f"module.{k}": v for k, v in state.items()}}, path)
        case "safetensors":
            save_file(state, path)
        case "npz":
            arrays: dict[str, Any] = {k: v.numpy() for k, v in state.items()}
            np.savez(path, **arrays)
    found = checkpoints.read(path)
    assert found.keys() == state.keys() and all(torch.equal(found[k], v) for k, v in state.items())


def test_the_dictionary_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"model": {"a": torch.zeros(1)}, "smoothed": {"a": torch.ones(1)}}, path)
    assert float(checkpoints.read(path)["a"]) == 0 and float(checkpoints.read(path, "smoothed")["a"]) == 1
    with pytest.raises(checkpoints.CheckpointFault, match="under `other`; it holds model, smoothed"):
        checkpoints.read(path, "other")


class Harm:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("harm",))


@pytest.mark.parametrize("content", ["object", "text", "none", "npz of objects", "bad safetensors"])
def test_nothing_unsafe_is_read(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.pth"
    match content:
        case "object":
            torch.save({"state_dict": {"a": torch.zeros(1)}, "args": Harm()}, path)
        case "text":
            path.write_text("no checkpoint")
        case "none":
            torch.save({"epoch": 3}, path)
        case "npz of objects":
            np.savez(path := tmp_path / "c.npz", a=np.array([Harm()], dtype=object))
        case "bad safetensors":
            (path := tmp_path / "c.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(checkpoints.CheckpointFault, match=r"c\.\w+"):
        checkpoints.read(path)
    assert "harm" not in capsys.readouterr().out


# the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A network, a checkpoint and a map that fit, and where to write."""
    (tmp_path / "s.arch").write_text(f"hrdsl 1\n{SPACE}")
    (tmp_path / "m.toml").write_text(MAP)
    save_file(released(), tmp_path / "c.safetensors")
    return {
        n: str(tmp_path / f)
        for n, f in {"arch": "s.arch", "map": "m.toml", "from": "c.safetensors", "out": "w.safetensors"}.items()
    }


def run(*words: str) -> int:
    return main(["weights", *words])


def test_the_result_is_a_weights_file(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", files["arch"], files["from"], "--map", files["map"], "-o", files["out"]) == 0
    assert capsys.readouterr().out == f"{files['out']}: 22 tensors, 2 ignored\n"
    found = compile_file(files["arch"])
    assert load_weights(Path(files["out"])).keys() == network_of(found, Path(files["out"])).state_dict().keys()
    assert (
        main(["export", files["arch"], "--weights", files["out"], "--to", "safetensors", "-o", str(tmp_path / "e")])
        == 0
    )
    assert (tmp_path / "e" / "s.safetensors").exists()


def test_the_table_of_a_dry_run(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("import", files["arch"], files["from"], "--map", files["map"], "--dry-run") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["head.body.mixed.q.conv.weight", "[4,", "4,", "1,", "1]", "blocks.0.qk.weight[0:1/2]"]
    assert out[-1] == "nothing is written: 22 tensors, 2 ignored"


def test_a_checkpoint_that_does_not_fit_writes_nothing(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({f"old.{k}": v for k, v in released().items()}, files["from"])
    assert run("import", files["arch"], files["from"], "--map", files["map"], "-o", files["out"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 13 and err[-1] == "hrdsl: ... and 32 more" and not Path(files["out"]).exists()
    assert run("import", files["arch"], files["from"], "--map", files["map"], "-o", files["out"], "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert len(data["faults"]) == 44 and data["weights"] is None


def test_names_and_shapes_are_shown(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", files["from"]) == 0
    assert "blocks.0.qk.weight                 [8, 4]\n" in capsys.readouterr().out
    assert run("show", files["arch"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["tensors"]["head.body.conv.weight"] == [4, 3, 3, 3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import", "{arch}"], "write `hrdsl weights import"),
        (["import", "{arch}", "{from}", "-o", "{out}"], "write `hrdsl weights import"),
        (["import", "{arch}", "{from}", "--map", "nonsense", "-o", "{out}"], "no map `nonsense`: there are"),
        (
            ["import", "{arch}", "{from}", "--map", "{map}:nonsense", "-o", "{out}"],
            "no section `nonsense`: there are network",
        ),
        (["import", "{arch}", "{from}", "--map", "{map}", "-o", "{arch}"], "ends in .safetensors, not `s.arch`"),
        (["import", "{arch}", "{arch}", "--map", "{map}", "-o", "{out}"], "holds more than tensors"),
        (["show", "{arch}", "{from}"], "at most 1"),
    ],
)
def test_usage(words: list[str], message: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*(w.format(**files) for w in words)) == USAGE
    assert message in capsys.readouterr().err


def test_an_architecture_of_a_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A space with open choices: one is named, its file stands beside the weights."""
    text = "space s {\n  input = [3, 4, 4]\n  n in {2, 3}\n  head = conv(1, width = n) -> conv(1, width = 2)\n}\n"
    arch, out = vectors.space(text, tmp_path), tmp_path / "w.safetensors"
    state = {"a.weight": torch.ones(2, 3), "b.weight": torch.ones(2, 2)}
    save_file(state, tmp_path / "c.safetensors")
    (tmp_path / "m.toml").write_text('[s]\n"head.conv" = "a"\n"head.conv2" = "b"\n')
    words = ["import", str(arch), str(tmp_path / "c.safetensors"), "--map", str(tmp_path / "m.toml"), "-o", str(out)]
    assert run(*words) == USAGE
    assert "--arch, --largest or --index" in capsys.readouterr().err
    assert run(*words[:-1], str(arch.with_suffix(".safetensors")), "--arch", "n=2") == USAGE
    assert "written over" in capsys.readouterr().err
    assert run(*words, "--arch", "n=2") == 0
    network = network_of(compile_file(out.with_suffix(".arch")), out)
    assert torch.equal(network(torch.ones(1, 3, 4, 4)), torch.full((1, 2, 4, 4), 6.0))


# a released network ------------------------------------------------------------------------------------------------


def test_resnet_under_the_names_of_torchvision(tmp_path: Path) -> None:
    """The names of `resnet50` of torchvision, from the published shapes: a module of its layout with the same weights."""
    torch.manual_seed(0)
    model = Resnet((1, 2, 1, 1), 10).eval()
    for value in model.buffers():
        value.data.uniform_(0.5, 1.5) if value.is_floating_point() else None
    torch.save(model.state_dict(), tmp_path / "r.pth")
    text = (ROOT / "examples/classics/resnet50.arch").read_text().removeprefix("hrdsl 1\n")
    for times, fewer in (
        ("times = 3,", "times = 1,"),
        ("times = 4", "times = 2"),
        ("times = 6", "times = 1"),
        ("times = 3)", "times = 1)"),
    ):
        text = text.replace(times, fewer)
    arch, out = vectors.space(text, tmp_path), tmp_path / "w.safetensors"
    words = ["--map", "torchvision_resnet", "--set", "classes=10", "--set", "size=64"]
    assert run("import", str(arch), str(tmp_path / "r.pth"), *words, "-o", str(out)) == 0
    network = network_of(compile_file(arch, settings={"classes": 10, "size": 64}), out)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        vectors.check(network(x), model(x))


def plain(inner: int, outer: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False)


class Bottleneck(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        mid = outer // 4
        self.conv1, self.bn1 = plain(inner, mid, 1), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = plain(mid, mid, 3, stride), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = plain(mid, outer, 1), nn.BatchNorm2d(outer)
        if inner != outer or stride > 1:
            self.downsample = nn.Sequential(plain(inner, outer, 1, stride), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Resnet(nn.Module):
    """ResNet with bottlenecks, its parts named as in torchvision."""

    def __init__(self, times: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1, inner = plain(3, 64, 7, 2), nn.BatchNorm2d(64), 64
        for n, (outer, count) in enumerate(zip((256, 512, 1024, 2048), times, strict=True), 1):
            blocks = [Bottleneck(inner if k == 0 else outer, outer, 2 if k == 0 and n > 1 else 1) for k in range(count)]
            self.add_module(f"layer{n}", nn.Sequential(*blocks))
            inner = outer
        self.fc = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for n in range(1, 5):
            x = self.get_submodule(f"layer{n}")(x)
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


# the harness of numeric cases --------------------------------------------------------------------------------------

CASE_MAP = '[network]\n"head.conv" = "c.0"\n"head.bn" = "c.1"\n'
CASE_SPACE = "space s {\n  input = [3, 6, 6]\n  head = conv(3, width = 4) -> bn -> relu\n}\n"


def a_case() -> dict[str, Any]:
    """A training step of a small module, laid out as the cases of one of the systems."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Sequential(plain(3, 4, 3), nn.BatchNorm2d(4)), nn.ReLU())
    before = {f"c.{k.removeprefix('0.')}": v.clone() for k, v in module.state_dict().items()}
    x = torch.randn(2, 3, 6, 6)
    y = module(x)
    y.backward(g := torch.randn_like(y))
    out = {"in/0": x, "out/0": y.detach(), "grad_out": g}
    out |= {f"{'buffer' if 'running' in k else 'param'}/{k}": v for k, v in before.items() if "num" not in k}
    out |= {f"grad/c.{k.removeprefix('0.')}": p.grad for k, p in module.named_parameters()}
    out |= {f"after/c.{k.removeprefix('0.')}": v for k, v in module.named_buffers() if "num" not in k}
    return {"meta": np.array(json.dumps({"kind": "small"})), **{k: v.numpy().copy() for k, v in out.items()}}


def test_numeric_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "FACTS", tmp_path)
    (tmp_path / "small" / "vectors").mkdir(parents=True)
    np.savez(tmp_path / "small" / "vectors" / "one.npz", **a_case())
    (tmp_path / "m.toml").write_text(CASE_MAP)
    assert vectors.cases("small") == ["one"]
    case, chart = vectors.read("small", "one"), str(tmp_path / "m.toml")
    assert case.meta == {"kind": "small"} and sorted(case.others) == ["grad_out"]
    network: fx.GraphModule = vectors.network(CASE_SPACE, case, chart, folder=tmp_path)
    conv = vectors.part(network, ["x"], ["head.conv"])
    rest = vectors.part(network, ["head.conv"], ["head.conv", "head.relu"])
    y = conv(case.input)[0]
    vectors.check(rest(y), (y, network(case.input)))
    vectors.check_training(network, case, chart, grad="grad_out")
    with pytest.raises(AssertionError, match="largest difference"):
        vectors.check(case.output + 1, case.output)
