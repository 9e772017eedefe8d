"""One architecture in all the forms that a space has: plan, modules, supernet, printed source, exported program."""

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.module import extract, over_store, supernet
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.source import python_source
from hrdsl.compiler.store import Store


def every_form(
    made: Compiled, store: Store, genes: Sequence[int], x: Tensor, training: bool = False
) -> tuple[fx.GraphModule, list[Tensor]]:
    """The extracted network, and what each form makes of `x` over one store, the plan first. `training`: of the exported."""
    genes = tuple(genes)
    own, whole = extract(made.graph, store, genes), supernet(made.graph, store)
    names: dict[str, type[nn.Module]] = {}
    exec(python_source(own, "found"), names)
    written = names["Network"]()
    written.load_state_dict(own.state_dict())
    whole.set_architecture(genes)
    exported = torch.export.export(own.train(training), (x,)).module()
    forms = (Planner(made.graph, store)(genes), over_store(made.graph, store, genes), own, whole, written, exported)
    return own, [form(x) for form in forms]
