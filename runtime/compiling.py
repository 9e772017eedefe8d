"""`torch.compile` as training uses it, and what is said where it cannot."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..compiler.plan import Planner
from .faults import RunError

if TYPE_CHECKING:
    from ..compiler.cells import Cells

BACKEND: Any = "inductor"
"""Of `torch.compile`."""


def network(module: torch.nn.Module) -> Callable[..., Any]:
    """One network, compiled as a whole when it first runs; the module itself stays as it is."""
    compiled: Callable[..., Any] = torch.compile(module, backend=BACKEND)
    return compiled


def cells(planner: Planner) -> "Cells":
    """The architectures of a planner, compiled by the forms of their cells."""
    from ..compiler.cells import Cells  # with it comes torch's compiler, which takes seconds to import

    return Cells(planner, BACKEND)


@contextmanager
def explained() -> Iterator[None]:
    """Raises RunError where torch cannot compile what runs within."""
    try:
        yield
    except RuntimeError as fault:
        if not type(fault).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        why = " ".join([line for line in str(fault).splitlines() if line][:2]) or type(fault).__name__
        raise RunError(
            f"torch.compile failed: {why}; on a CPU it needs a C++ compiler such as g++; or leave out `compile`"
        ) from fault
