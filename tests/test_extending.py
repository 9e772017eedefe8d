"""A package that adds an operator and a module: the example of docs/extending.md, and packages that do it wrongly."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.cli import explain
from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.compiler.ops import BUILTIN, operators
from hrdsl.compiler.store import Store
from hrdsl.dsl import packages
from hrdsl.dsl.diagnostic import ArchError, Diagnostic

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "extension"
DOCUMENT = ROOT / "docs" / "extending.md"

Install = Callable[..., Path]
SOUND = '''
from hrdsl.compiler.operator import Call, In, Operator
from dataclasses import dataclass, field
from typing import ClassVar

@dataclass(frozen=True, slots=True)
class Sound(Operator):
    """The input."""
    name: ClassVar[str] = "sound"
    %s
    def shape(self, site, *x): return x[0]
    def lower(self, ask, x, y): return (Call("torch.relu", (In(0),)),)
'''


def fresh() -> None:
    """What is known of installed packages is forgotten."""
    packages._any.cache_clear()
    operators.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on `sys.path` as `pip install` fills it."""
    folder, known = tmp_path / "site", set(sys.modules)
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    fresh()
    yield folder
    fresh()
    for name in set(sys.modules) - known:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """install(project, points, **files): the metadata and the modules of a package."""

    def put(project: str, points: dict[str, dict[str, str]], **files: str) -> Path:
        info = site / f"{project.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n", encoding="utf-8")
        groups = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in these.items()) for group, these in points.items()]
        (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
        for name, text in files.items():
            (site / f"{name}.py").write_text(text, encoding="utf-8")
        fresh()
        return site

    return put


@pytest.fixture
def strips(install: Install) -> Path:
    """The example, installed; its space."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = install(project["name"], project["entry-points"])
    copytree(EXAMPLE / "hrdsl_strips", folder / "hrdsl_strips")
    return EXAMPLE / "space.arch"


# the example -------------------------------------------------------------------------------------------------------


def genomes(space: Compiled) -> list[tuple[int, ...]]:
    """Every architecture: two widths, two kernels."""
    found = [(a, b) for a in range(2) for b in range(2)]
    assert space.decisions.count().value == len(found)
    return found


def test_costs_are_what_torch_counts(strips: Path) -> None:
    space = compile_file(strips)
    assert space.warnings == ()
    for genes in genomes(space):
        costs, network = space.costs.one(genes), extract(space.graph, None, genes).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 11, 32, 32)
        assert counter.get_total_flops() == 2 * costs["macs"]
        assert sum(p.numel() for p in network.parameters()) == costs["parameters"]


def test_a_strip_is_two_convolutions(strips: Path) -> None:
    """The operator against torch, by its formula."""
    space = compile_file(strips)
    genes = tuple(space.decisions.largest())
    (node,) = (n for n in space.graph.nodes if n.name == "s1.fine[1].strip_conv")
    assert [w.name for w in node.weights] == ["rows", "columns"]
    network = extract(space.graph, None, genes).eval()
    rows, columns = network.s1_fine_1_strip_conv_rows, network.s1_fine_1_strip_conv_columns
    assert (tuple(rows.shape), tuple(columns.shape)) == ((16, 1, 11, 1), (16, 1, 1, 11))
    values: dict[str, torch.Tensor] = {}
    run = torch.fx.Interpreter(network)
    run.run_node = lambda n: values.setdefault(n.name, torch.fx.Interpreter.run_node(run, n))  # type: ignore[method-assign]
    run.run(torch.randn(2, 3, 64, 64))
    x = values["s1_fine_1_conv"]
    wanted = torch.nn.functional.conv2d(x, rows * columns, padding=5, groups=16)
    torch.testing.assert_close(values["s1_fine_1_strip_conv"], wanted)


def test_weights_are_shared(strips: Path) -> None:
    """The first channels, and the middle of the longest strip."""
    space = compile_file(strips)
    store = Store(space.graph, seed=3)
    paths = [d.path for d in space.graph.decisions]
    small = {d.path: d.values.index(min(d.values)) for d in space.graph.decisions}
    most, least = (
        extract(space.graph, store, genes)
        for genes in (tuple(1 - small[p] for p in paths), tuple(small[p] for p in paths))
    )
    rows = most.s1_fine_1_strip_conv_rows, least.s1_fine_1_strip_conv_rows
    assert torch.equal(rows[0][:8, :, 2:-2], rows[1])


def test_explain(strips: Path) -> None:
    (answer,) = explain.explain("strip_conv")
    assert answer["kind"] == "operator"
    assert "k x 1 filter" in answer["text"] and "default 7" in answer["text"]
    assert answer["example"]["costs"][""]["parameters"] == 2 * 16 * 7
    (answer,) = explain.explain("strips.attention.multi_scale")
    assert answer["uses"] == ["depthwise", "strip_conv", "sum", "conv"]
    assert answer["example"]["costs"][""]["parameters"] == 16 * (25 + 2 * (7 + 11 + 21) + 16)


def test_another_process(strips: Path, site: Path) -> None:
    """The command line sees what is installed."""
    code = f"import sys; sys.path[:0] = [{str(site)!r}, {str(ROOT / '.path')!r}]; from hrdsl.cli.main import entry; entry()"
    done = subprocess.run([sys.executable, "-c", code, "check", strips], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.partition("space strips")[2] in DOCUMENT.read_text(encoding="utf-8")


def test_not_installed(site: Path) -> None:
    with pytest.raises(ArchError) as raised:
        compile_file(EXAMPLE / "space.arch")
    assert [d.code for d in raised.value.found] == ["E206"]


# faulty packages ---------------------------------------------------------------------------------------------------


def space(folder: Path, cell: str, use: str = "") -> Path:
    path = folder / "s.arch"
    path.write_text(f"hrdsl 1\n\n{use}\n\nspace s {{\n  input = [3, 8, 8]\n  head = {cell}\n}}\n", encoding="utf-8")
    return path


def fault(path: Path) -> Diagnostic:
    with pytest.raises(ArchError) as raised:
        compile_file(path)
    (found,) = raised.value.found
    assert found.code == "E219"
    assert "faulty-package" in found.title and "pip uninstall faulty-package" in found.help
    return found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("Other = 3", "AttributeError: module 'faulty' has no attribute 'Sound'"),
        ("Sound = 3", "faulty:Sound is no dataclass derived from `hrdsl.compiler.operator.Operator`"),
        (SOUND.replace("def lower", "def lowered") % "", "faulty:Sound lacks the method `lower`"),
        (SOUND.replace("def shape", "def shapes") % "", "faulty:Sound lacks the method `shape`"),
        (SOUND.replace('"sound"', '"loud"') % "", "faulty:Sound calls itself `loud`"),
        (
            SOUND % 'big: object = field(default=1, metadata={"kind": "huge"})',
            "the kind of its field `big` is none of whole, number, flag, text",
        ),
    ],
)
def test_faulty_operator(text: str, why: str, install: Install, tmp_path: Path) -> None:
    """The fault names the package, where its operator is used; other files are none the worse."""
    install("faulty-package", {"hrdsl.operators": {"sound": "faulty:Sound"}}, faulty=text)
    compile_file(space(tmp_path, "relu"))
    assert fault(space(tmp_path, "sound")).here.text == why


@pytest.mark.parametrize("name", ["conv", "min", "macs", "if", "two.parts"])
def test_names_that_are_taken(name: str, install: Install, tmp_path: Path) -> None:
    install("faulty-package", {"hrdsl.operators": {name: "faulty:Sound"}}, faulty=SOUND % "")
    assert "name" in fault(space(tmp_path, "relu")).here.text


def test_two_packages_with_one_name(install: Install, tmp_path: Path) -> None:
    install("other-package", {"hrdsl.operators": {"sound": "faulty:Sound"}}, faulty=SOUND % "")
    install("faulty-package", {"hrdsl.operators": {"sound": "faulty:Sound"}})
    with pytest.raises(ArchError, match="faulty-package, other-package"):
        compile_file(space(tmp_path, "relu"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("FOLDER = 3", "faulty:FOLDER is no folder"),
        ("FOLDER = '/no/such/folder'", "faulty:FOLDER is no folder"),
    ],
)
def test_faulty_modules(text: str, why: str, install: Install, tmp_path: Path) -> None:
    install("faulty-package", {"hrdsl.modules": {"parts": "faulty:FOLDER"}}, faulty=text)
    compile_file(space(tmp_path, "relu", "use std.blocks"))
    found = fault(space(tmp_path, "relu", "use parts.one"))
    assert (found.here.text, found.here.span.text) == (why, "use parts.one")


def test_a_package_cannot_replace_the_library(install: Install, tmp_path: Path) -> None:
    install("faulty-package", {"hrdsl.modules": {"std": "faulty:FOLDER"}}, faulty=f"FOLDER = {str(tmp_path)!r}")
    (tmp_path / "blocks.arch").write_text("hrdsl 1\n", encoding="utf-8")
    compile_file(space(tmp_path, "blocks.residual(width = 8)", "use std.blocks"))


# modules of packages and of the file's own folder ------------------------------------------------------------------

CELL = "cell one() { out = x -> relu }\n"


@pytest.fixture
def parts(install: Install, tmp_path: Path) -> Path:
    """The folder of a package's modules, `parts.*`; the user's files are elsewhere, in `tmp_path / "work"`."""
    (tmp_path / "work").mkdir()
    site = install("parts-package", {"hrdsl.modules": {"parts": "parts_of:FOLDER"}}, parts_of="FOLDER = __file__[:-3]")
    (site / "parts_of" / "inner").mkdir(parents=True)
    return site / "parts_of"


def write(path: Path, body: str = CELL) -> None:
    path.write_text(f"hrdsl 1\n\n{body}", encoding="utf-8")


def code(path: Path) -> str:
    with pytest.raises(ArchError) as raised:
        compile_file(path)
    return raised.value.found[0].code


def test_modules_of_a_package(parts: Path, tmp_path: Path) -> None:
    """Modules in folders of the package, which use each other by their full path."""
    write(parts / "inner" / "deep.arch")
    write(parts / "top.arch", "use parts.inner.deep\n\ncell two() { out = x -> deep.one -> deep.one }\n")
    found = compile_file(space(tmp_path / "work", "top.two -> deep.one", "use parts.top\nuse parts.inner.deep"))
    assert [n.op.name for n in found.graph.nodes[1:]] == ["relu"] * 3


def test_a_package_comes_before_a_folder(parts: Path, tmp_path: Path) -> None:
    """`parts.a` is the package's; `parts` alone is the file beside."""
    work = tmp_path / "work"
    (work / "parts").mkdir()
    write(work / "parts" / "a.arch")
    write(work / "parts.arch")
    assert code(space(work, "a.one", "use parts.a")) == "E206"
    write(parts / "a.arch", CELL.replace("relu", "gelu"))
    found = compile_file(space(work, "a.one -> parts.one", "use parts.a\nuse parts"))
    assert [n.op.name for n in found.graph.nodes[1:]] == ["gelu", "relu"]


def test_modules_in_a_circle(parts: Path, tmp_path: Path) -> None:
    write(parts / "a.arch", f"use parts.inner.b\n\n{CELL}")
    write(parts / "inner" / "b.arch", f"use parts.a\n\n{CELL}")
    assert code(space(tmp_path / "work", "a.one", "use parts.a")) == "E207"


def test_did_you_mean_a_module(parts: Path, tmp_path: Path) -> None:
    write(parts / "attention.arch")
    with pytest.raises(ArchError, match=r"did you mean `parts\.attention`"):
        compile_file(space(tmp_path / "work", "relu", "use parts.atention"))


@pytest.mark.parametrize("use", ["inside", "folder.inside"])
def test_links_out_of_the_own_folder(use: str, parts: Path, tmp_path: Path) -> None:
    """A link to a file or a folder outside; a link that stays inside is a file like any other."""
    work, outside = tmp_path / "work", tmp_path / "outside"
    outside.mkdir()
    write(outside / "inside.arch")
    (work / "inside.arch").symlink_to(outside / "inside.arch")
    (work / "folder").symlink_to(outside)
    assert code(space(work, "inside.one", f"use {use}")) == "E214"
    write(work / "real.arch")
    (work / "alias.arch").symlink_to("real.arch")
    compile_file(space(work, "alias.one", "use alias"))


def test_links_out_of_a_package(parts: Path, tmp_path: Path) -> None:
    write(tmp_path / "work" / "secret.arch")
    (parts / "open.arch").symlink_to(tmp_path / "work" / "secret.arch")
    assert code(space(tmp_path / "work", "open.one", "use parts.open")) == "E214"


@pytest.mark.parametrize(
    "path", ["..secret", ".secret", "/etc/passwd", "parts...secret", '"secret"', "parts/secret", "~"]
)
def test_paths_are_names(path: str, parts: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret.arch")
    assert code(space(tmp_path / "work", "secret.one", f"use {path} as secret")).startswith("E1")


OPENED: list[str] = []
WATCHING = [False]


def watch(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and WATCHING[0] and isinstance(args[0], str):
        OPENED.append(args[0])


def test_only_what_is_used_is_read(parts: Path, tmp_path: Path) -> None:
    """Of all the modules around, the ones that `use` names."""
    work = tmp_path / "work"
    for path in (parts / "a.arch", parts / "b.arch", work / "c.arch", work / "d.arch", tmp_path / "e.arch"):
        write(path)
    file = space(work, "a.one -> c.one", "use parts.a\nuse c")
    sys.addaudithook(watch)
    WATCHING[0] = True
    try:
        compile_file(file)
    finally:
        WATCHING[0] = False
    assert [p for p in OPENED if p.endswith(".arch")] == [str(file), str(parts / "a.arch"), str(work / "c.arch")]


# the document ------------------------------------------------------------------------------------------------------


def blocks(mark: str) -> list[str]:
    return re.findall(rf"^```{mark}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("mark", "files"),
    [
        ("toml", ["pyproject.toml"]),
        ("python", ["hrdsl_strips/__init__.py", "hrdsl_strips/strip_conv.py"]),
        ("arch", ["hrdsl_strips/attention.arch", "space.arch"]),
    ],
)
def test_the_document_shows_the_files(mark: str, files: list[str]) -> None:
    """Its code blocks, one after the other, are the files of the example, whole and in order."""
    shown = [line for block in blocks(mark) for line in lines(block)]
    assert shown == [line for file in files for line in lines((EXAMPLE / file).read_text(encoding="utf-8"))]


def test_the_document_names_what_an_operator_may_say() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    base = BUILTIN[0].__mro__[1]
    asked = [n for n, v in vars(base).items() if not n.startswith("_") and n not in ("settings", "deps")]
    assert all(f"`{name}`" in text for name in asked)
