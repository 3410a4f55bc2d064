"""The model of a function: the arguments and the result of one operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.overrides import Twin
from zoho_async.codegen.reports import ReportFacts
from zoho_async.codegen.spec import CallSpec, Node, Source
from zoho_async.codegen.structs import Objects
from zoho_async.description import Answer, Kind

JSON: Final = "application/json"


@dataclass(frozen=True)
class Subject:
    """The subject of one source's functions.

    ``resource`` is their module, ``record`` its record and ``main`` the record's struct. ``noun``
    is the word that function names leave out; ``also`` are other words for the record.
    """

    source: Source
    resource: str
    record: str
    noun: str
    also: tuple[str, ...]

    @property
    def main(self) -> str:
        return words.camel(self.record)


@dataclass
class Parameter:
    """An argument: ``name`` as Zoho writes it, ``argument`` as Python does.

    ``most`` is the number of ids that one call takes.
    """

    name: str
    argument: str
    kind: Kind
    element: Kind | None = None
    required: bool = False
    allowed: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    max_length: int | None = None
    most: int | None = None
    regions: tuple[str, ...] = ()


@dataclass
class Function:
    """One operation as a function, with its corrections applied. ``report`` is set for reports."""

    name: str
    call: CallSpec
    product: str
    resource: str
    source: str
    noun: str
    answer: Answer
    result: str = ""
    key: str = ""
    row_id: str = ""
    own_row_id: str | None = None
    record_id: str = ""
    nouns: tuple[str, ...] = ()
    order: str = ""
    paged: bool = False
    totals: bool = False
    per_user: bool = False
    max_per_page: int = 200
    accept: str = JSON
    scope: str = ""
    path: str = ""
    status: int = 200
    batch: int | None = None
    body: str = ""
    body_many: bool = False
    upsert: bool = False
    ids: list[Parameter] = field(default_factory=list[Parameter])
    batches: list[Parameter] = field(default_factory=list[Parameter])
    query: list[Parameter] = field(default_factory=list[Parameter])
    uploads: list[Parameter] = field(default_factory=list[Parameter])
    fields: list[Parameter] = field(default_factory=list[Parameter])
    form: str = ""
    file_types: tuple[str, ...] = ()
    file_size: int | None = None
    fixed: dict[str, str] = field(default_factory=dict[str, str])
    twins: list[Twin] = field(default_factory=list[Twin])
    reply: tuple[Node, ...] = ()
    body_nodes: tuple[Node, ...] = ()
    objects: Objects = field(default_factory=dict[str, tuple[Node, ...]])
    reply_objects: Objects = field(default_factory=dict[str, tuple[Node, ...]])
    changes: str = ""
    per_page: int = 200
    details: str = ""
    note: str = ""
    optional: tuple[str, ...] = ()
    sends: dict[str, bool] = field(default_factory=dict[str, bool])
    ignored: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    corrected: bool = False
    report: ReportFacts | None = None

    @property
    def full_name(self) -> str:
        return f"{self.product}.{self.resource}.{self.name}"

    @property
    def required(self) -> list[str]:
        """The fields that the body must have."""
        needed = [node.name for node in self.body_nodes if node.required and not node.read_only]
        return [name for name in needed if name not in (*self.optional, *self.sends)]

    @property
    def creates(self) -> bool:
        """Whether it creates one record from a described body."""
        is_create = self.call.method == "POST" and self.name.partition("_")[0] == "create"
        return is_create and self.body not in {"", "raw"} and not self.body_many

    @property
    def limited(self) -> list[Parameter]:
        """The lists of ids for which a call has a limit."""
        return [each for each in (*self.batches, *self.query) if each.most]

    def names_rows(self, parameter: Parameter) -> bool:
        """Whether the ids name the rows of the reply, so that each id has at most one row."""
        row_id = self.row_id.replace("_", "")
        return bool(row_id) and parameter.name.replace("_", "") == f"{row_id}s"
