"""The JSON forms as pydantic models, most of them derived from the compiler's dataclasses, and their JSON Schema."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints

import pydantic
from pydantic import BaseModel, ConfigDict, NonNegativeInt, RootModel, StringConstraints, create_model

from ...dsl import syntax
from ...dsl.diagnostic import Span
from ...dsl.model import Run, Space
from ...dsl.settings import Chosen
from ...dsl.syntax import Block
from ..graph import Graph, Prior
from ..operator import Operator
from ..sym import Decision, Metric
from .encode import AXES, VERSION, Encoder, tag

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Form(BaseModel):
    """Base of all forms. A derived form stands for the dataclass `origin`."""

    model_config = STRICT
    origin: ClassVar[Any] = None


class Exact(Form):
    """A fraction, or an integer beyond 2^53, as text."""

    exact: Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,4000}(/[1-9][0-9]{0,3999})?$")]


class ValueAt(Form):
    """A value of `shared`: a table, an expression or a cost."""

    value: NonNegativeInt


class AxisAt(Form):
    """An index set of `shared`."""

    axis: NonNegativeInt


class CellForm(Form):
    """A cell among the values of a decision, by its label."""

    cell: str


class DecisionAt(RootModel[NonNegativeInt]):
    """The number of a decision."""

    model_config = ConfigDict(strict=True, frozen=True)


class Place(RootModel[tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]]):
    """A stretch of text: the number of the source, the first character, the one behind the last."""

    model_config = ConfigDict(strict=True, frozen=True)


Plain = bool | int | float | str | None | Exact
Value = Plain | ValueAt | list[Plain]


class OperatorForm(Form):
    """An operator, by the name under which it is registered, with all its settings."""

    operator: str
    settings: dict[str, Value]


class TableForm(Form):
    """A function of decisions: one value for each combination of their values, the last decision turning fastest."""

    type: Literal["table"]
    decisions: Annotated[list[NonNegativeInt], pydantic.Field(min_length=1)]
    values: list[Plain | list[Plain]]


class ApplyForm(Form):
    """A function of values that stand before it in `shared`."""

    type: Literal["apply"]
    function: str
    arguments: list[Value]


class SourceForm(Form):
    """A text that spans point into."""

    name: str
    text: str


class DecisionForm(Form):
    """A decision: its place in the list is its place in a genome."""

    path: str
    values: list[Plain | list[Plain] | CellForm]
    labels: Annotated[list[str], pydantic.Field(min_length=1)]
    span: Place


class UseForm(Form):
    """A module that a file uses."""

    name: str
    cells: list[str]


class Header(BaseModel):
    """What every document begins with, whatever its version."""

    model_config = ConfigDict(strict=True)
    format: str
    version: int


# derived from dataclasses ------------------------------------------------------------------------------------------


class _Forms:
    """One form for each dataclass that is reached from the fields of some; `made` knows them by class."""

    def __init__(self) -> None:
        self.names: dict[type, str] = {}
        self.made: dict[str, type[Form]] = {}

    def of(self, hint: Any) -> Any:
        """The JSON type of an annotation."""
        special = {
            Any: Value,
            Span: Place,
            Decision: DecisionAt,
            Fraction: Exact,
            Mapping[str, Any]: dict[str, Setting],
        }
        if hint in special:
            return special[hint]
        arguments, origin = get_args(hint), get_origin(hint)
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if origin is tuple:
            one = arguments[-1] is Ellipsis
            return list[self.of(arguments[0])] if one else tuple[tuple(map(self.of, arguments))]  # type: ignore[misc]
        if origin in (dict, Mapping):
            return dict[str, self.of(arguments[1])]  # type: ignore[misc]
        if isinstance(hint, type) and issubclass(hint, Operator):
            return OperatorForm
        if hint in AXES:
            return AxisAt
        return self.form(hint) if is_dataclass(hint) else hint

    def _union(self, options: tuple[Any, ...]) -> Any:
        members = tuple(dict.fromkeys(map(self.of, options)))
        joined: Any = Union[members]  # noqa: UP007
        several = sum(isinstance(m, ForwardRef) for m in members) > 1 and type(None) not in members
        return Annotated[joined, pydantic.Field(discriminator="type")] if several else joined

    def form(self, kind: Any) -> ForwardRef:
        """The form of a dataclass, under a name that is known once `finish` has run."""
        if kind not in self.names:
            self.names[kind] = name = f"{kind.__module__.rpartition('.')[2]}_{kind.__name__}"
            self.made[name] = self.derive(kind, dict(self.columns(kind)))
        return ForwardRef(self.names[kind])

    def columns(self, kind: Any) -> Iterator[tuple[str, Any]]:
        """The fields of a form: name to type and default."""
        hints = {**get_type_hints(kind), **({"syntax": syntax.Prior} if kind is Prior else {})}
        word = tag(kind)
        if word:
            yield "type", (Literal[word], ...)
        for f in fields(kind):
            yield f.name, (self.of(hints[f.name]), _default(f))

    def derive(self, kind: Any, columns: dict[str, Any]) -> type[Form]:
        made = create_model(kind.__name__, __base__=Form, __module__=kind.__module__, __doc__=kind.__doc__, **columns)
        made.origin = kind
        return made

    def finish(self, *documents: type[BaseModel]) -> None:
        for made in (*self.made.values(), *documents):
            made.model_rebuild(_types_namespace=self.made)


def _default(f: Field[Any]) -> Any:
    """A field that has a default may be absent."""
    if f.default is not MISSING:
        return Encoder()(f.default)
    return ... if f.default_factory is MISSING else f.default_factory()


class ChosenForm(Form):
    """A setting given as a call: `adamw(lr = 3e-3)`."""

    origin = Chosen
    name: str
    options: dict[str, "Setting"]


Setting = Plain | ChosenForm | list[Plain]
ChosenForm.model_rebuild()


def _document(kind: str, docs: str, **columns: Any) -> type[Form]:
    """The form of a document: its head, then these columns."""
    head = {"format": (Literal[f"hrdsl.{kind}"], ...), "version": (Literal[VERSION], ...)}
    plain = {name: column if isinstance(column, tuple) else (column, ...) for name, column in columns.items()}
    every: dict[str, Any] = {**head, **plain}
    return create_model(f"{kind.title()}Document", __base__=Form, __module__=__name__, __doc__=docs, **every)


_FORMS = _Forms()
_SHARED: Any = Union[TableForm, ApplyForm, _FORMS.form(Metric), *map(_FORMS.form, AXES)]

GraphDocument = _document(
    "graph",
    "A space, elaborated: its decisions, and its nodes in an order in which each comes after its inputs.",
    sources=list[SourceForm],
    shared=list[Annotated[_SHARED, pydantic.Field(discriminator="type")]],
    **{**dict(_FORMS.columns(Graph)), "decisions": list[DecisionForm]},
)
ArchitectureDocument = _document(
    "architecture",
    "One architecture: its active decisions by path, its costs, and the digest of the graph that it belongs to.",
    space=str,
    graph=Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")],
    decisions=dict[str, str],
    index=(Annotated[str, StringConstraints(pattern="^[0-9]+$")] | None, None),
    costs=dict[str, NonNegativeInt],
)
ModelDocument = _document(
    "model",
    "What a file declares: the modules it uses, its cells, spaces and runs; expressions as trees.",
    sources=list[SourceForm],
    uses=dict[str, UseForm],
    **{f"{name}s": list[_FORMS.form(k)] for name, k in (("cell", Block), ("space", Space), ("run", Run))},  # type: ignore[misc]
)
_FORMS.finish(GraphDocument, ArchitectureDocument, ModelDocument)

DOCUMENTS: dict[str, type[Form]] = {
    "graph": GraphDocument,
    "architecture": ArchitectureDocument,
    "model": ModelDocument,
}
"""The form of each kind of document."""


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DOCUMENTS[kind].model_json_schema()}
