"""hrdsl: a declarative language and compiler for multi-branch neural architecture search.

Nothing is imported before it is asked for: `import hrdsl` costs neither torch nor the grammar.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compiler.api import compile_file as compile

__version__ = "0.1.0"
__all__ = ["__version__", "compile"]

_LAZY = {"compile": (".compiler.api", "compile_file")}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = globals()[name] = getattr(import_module(module, __name__), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
