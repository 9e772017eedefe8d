"""What is installed: the lists in pyproject.toml against the folders, and what `import hrdsl` costs."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import hrdsl

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
LAYERS = ("dsl", "compiler", "runtime", "cli")


def folder(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


def test_packages_are_the_folders() -> None:
    inits = [init for layer in LAYERS for init in (ROOT / layer).rglob("__init__.py")]
    found = {"hrdsl", *(".".join(("hrdsl", *init.parent.relative_to(ROOT).parts)) for init in inits)}
    assert sorted(SETUPTOOLS["packages"]) == sorted(found)


def test_every_module_is_in_a_package() -> None:
    modules = {module.parent for layer in LAYERS for module in (ROOT / layer).rglob("*.py")}
    assert modules == {folder(package) for package in SETUPTOOLS["packages"]} - {ROOT}


def test_the_root_holds_no_other_module() -> None:
    assert sorted(module.name for module in ROOT.glob("*.py")) == ["__init__.py", "__main__.py"]


@pytest.mark.parametrize(
    ("package", "pattern"),
    [(package, pattern) for package, patterns in SETUPTOOLS["package-data"].items() for pattern in patterns],
)
def test_package_data_exist(package: str, pattern: str) -> None:
    assert any(folder(package).glob(pattern))


def test_version() -> None:
    assert hrdsl.__version__ == PROJECT["project"]["version"]


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hrdsl.nonsense


def test_import_is_cheap() -> None:
    code = "import sys, hrdsl; print(*sorted({'torch', 'networkx', 'pymoo', 'lark', 'numpy'} & set(sys.modules)))"
    path = str(ROOT / ".path")
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {path!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == []
