"""Corrections of the description, from one file, each with reason and evidence.

`Overrides` serves the corrections and records which ones took effect. `unused` names those that
changed nothing, because the description changed or a name was mistyped. That is an error: such a
correction would only hide its old purpose.

The file (TOML) has these tables. All take ``reason`` and ``evidence``:

``[[calls]]``
    ``of`` names operations (``books.invoices.get_invoice``) or a pattern of them; every other key
    is a field of `CallFix`.
``[[names]]``
    ``to`` maps operations to the names of their functions.
``[[fields]]``
    ``of`` names a struct (``books.contacts.Contact``); ``add`` adds fields that are not described,
    ``kinds`` corrects kinds, ``order`` gives the order in the JSON. A kind is one of
    `description.Kind`, ``list:KIND``, or the name of a struct, alone or after ``list:``.
``[[shared]]``
    Objects that share one struct: the names of the fields that hold them, and the fields that all
    of them have. ``home`` restricts it to one resource, ``product`` to one product.
``[[errors]]``
    The meaning of error codes in some modules (``*.invoices``).
``[[shorter]]``
    ``to`` maps phrases in the names of structs to shorter ones (see `model.shorten`).
``[[resources]]``
    Names of modules and of their records, if the file's name does not give them.

The patterns of ``of`` can leave the product open (``*.list_*_templates``). A correction of Books
also applies to Invoice if both have the operation, the file or the struct.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from zoho_async.description import Answer, Kind

T = TypeVar("T")

FILE: Final = Path(__file__).parent / "overrides.toml"


class Because(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reason for a correction, and its evidence."""

    reason: str
    evidence: str


class Extra(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query parameter that is not described."""

    name: str
    kind: Kind = "text"
    element: Kind | None = None
    allowed: tuple[str, ...] = ()
    required: bool = False


class Twin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second function for the same operation, which returns a document."""

    name: str
    accept: str
    fixed: dict[str, str] = {}


class CallFix(Because, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The corrections of some operations. A key that is left out stays as described.

    ``key`` and ``record`` give an undescribed reply its envelope key and its struct. ``bare`` says
    that the description has the fields of the record under ``key`` without their envelope. ``drop``
    removes query parameters and ``query`` adds some; ``values`` gives the allowed values of those
    that are described without; ``fixed`` are parameters that are always sent.
    ``upload`` names the multipart field of a file. ``form``, ``file_types`` and ``file_size`` are
    those of `operation.Operation`. ``totals`` applies to top-level lists. ``details`` is the call
    of the same file that reads records in full. ``optional`` are fields of a create that it can
    leave out, though they are described as required. ``sends`` are fields of the body that are
    always sent; they distinguish operations with the same method and path. ``note`` is a sentence
    for the docstring. All other keys are those of `description.OperationFacts`.
    """

    of: str | tuple[str, ...]
    answer: Answer | None = None
    key: str | None = None
    record: str | None = None
    bare: bool = False
    row_id: str | None = None
    order: str | None = None
    paged: bool | None = None
    totals: bool | None = None
    per_user: bool | None = None
    max_per_page: int | None = None
    accept: str | None = None
    status: int | None = None
    batch: int | None = None
    scope: str | None = None
    path: str | None = None
    body: str | None = None
    upload: str | None = None
    form: str | None = None
    file_types: tuple[str, ...] | None = None
    file_size: int | None = None
    changes: str | None = None
    per_page: int | None = None
    details: str | None = None
    note: str | None = None
    optional: tuple[str, ...] = ()
    sends: dict[str, bool] = {}
    ignored: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    query: tuple[Extra, ...] = ()
    values: dict[str, tuple[str, ...]] = {}
    fixed: dict[str, str] = {}
    twins: tuple[Twin, ...] = ()

    def names(self) -> tuple[str, ...]:
        return (self.of,) if isinstance(self.of, str) else self.of


class NameFix(Because, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of functions."""

    to: dict[str, str]


class FieldFix(Because, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The corrections of a struct; ``new`` adds one that is not described.

    ``free`` are fields with more values than the description lists. ``order`` is the order in the
    JSON of lists (see `zoho_async.codegen.order`).
    """

    of: str
    new: bool = False
    add: dict[str, str] = {}
    kinds: dict[str, str] = {}
    free: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    def names(self, product: str) -> bool:
        """Whether the correction names this product."""
        return self.of.partition(".")[0] == product

    def concerns(self, product: str) -> bool:
        return self.of.partition(".")[0] in {*_and_of_books(product), "*"}


class SharedFix(Because, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One struct for several fields; ``home`` is its resource, or ``shared`` for all of them."""

    product: str = "*"
    home: str = "shared"
    name: str
    held_by: tuple[str, ...]
    marks: tuple[str, ...]


class ResourceFix(Because, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subject of a file. ``of`` is ``product.file``.

    ``module`` names its module. A ``guest`` joins the module of another file, and its functions are
    named in the terms of that file. ``noun`` is the singular of the records; ``also`` are other
    words for them in the file's operations.
    """

    of: str
    module: str = ""
    guest: bool = False
    noun: str = ""
    also: tuple[str, ...] = ()


class ErrorFix(Because, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The meaning of codes in a resource: ``of`` is ``product.module``, or a pattern."""

    of: tuple[str, ...]
    codes: dict[str, str]


class ShortFix(Because, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shorter phrases for the names of structs that nesting makes long."""

    to: dict[str, str]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    calls: tuple[CallFix, ...] = ()
    names: tuple[NameFix, ...] = ()
    fields: tuple[FieldFix, ...] = ()
    shared: tuple[SharedFix, ...] = ()
    resources: tuple[ResourceFix, ...] = ()
    errors: tuple[ErrorFix, ...] = ()
    shorter: tuple[ShortFix, ...] = ()


def _and_of_books(name: str) -> tuple[str, ...]:
    """A name and, for the part of Books that Invoice shares, the same name in Invoice."""
    product, dot, rest = name.partition(".")
    return (name, f"books{dot}{rest}") if product == "invoice" else (name,)


class Overrides:
    """All corrections, and which of them took effect."""

    def __init__(self, text: str) -> None:
        file = msgspec.convert(tomllib.loads(text), _File)
        self.calls: Final = file.calls
        self.fields: Final = file.fields
        self._shared: Final = file.shared
        self.errors: Final = file.errors
        self._names: Final = {of: name for fix in file.names for of, name in fix.to.items()}
        self._resources: Final = {fix.of: fix for fix in file.resources}
        self._shorter: Final = {
            long: short for fix in file.shorter for long, short in fix.to.items()
        }
        self._used: set[str] = set()

    @classmethod
    def read(cls, path: Path = FILE) -> Overrides:
        """Read ``path``. Raises `msgspec.ValidationError` or `tomllib.TOMLDecodeError`."""
        return cls(path.read_text(encoding="utf-8"))

    def of_call(self, name: str) -> list[CallFix]:
        """The corrections of an operation, in the order of the file."""
        found: list[CallFix] = []
        names = _and_of_books(name)
        for fix in self.calls:
            for pattern in fix.names():
                if any(fnmatch.fnmatchcase(each, pattern) for each in names):
                    self._used.add(f"calls: {pattern}")
                    found.append(fix)
                    break
        return found

    def name_of(self, name: str) -> str | None:
        """The given function name of an operation, or None."""
        return self._first(self._names, "names", name)

    def of_resource(self, resource: str) -> ResourceFix | None:
        """The given names of a file's module and records, or None."""
        return self._first(self._resources, "resources", resource)

    def shared_of(
        self, product: str, home: str, field: str, members: Iterable[str]
    ) -> tuple[str, str] | None:
        """The name and home of the shared struct of an object under ``field``, or None."""
        present = frozenset(members)
        for fix in self._shared:
            fits = fix.product in _and_of_books(product) or fix.product == "*"
            fits = fits and fix.home in {"shared", home} and field in fix.held_by
            if fits and present.issuperset(fix.marks):
                self._used.add(f"shared: {fix.product}.{fix.name}: {field}")
                return fix.name, fix.home
        return None

    def shorter(self, name: str) -> str:
        """A struct's name with the shorter phrases."""
        for long, short in self._shorter.items():
            if long in name:
                self._used.add(f"shorter: {long}")
                name = name.replace(long, short)
        return name

    def _first(self, table: Mapping[str, T], kind: str, name: str) -> T | None:
        for each in _and_of_books(name):
            if each in table:
                self._used.add(f"{kind}: {each}")
                return table[each]
        return None

    def use(self, mark: str) -> None:
        """Record that a correction of a field took effect."""
        self._used.add(mark)

    def unused(self, products: Iterable[str]) -> list[str]:
        """The corrections of these products that had no effect."""
        known = frozenset({*products, "*"})
        marks = [f"calls: {pattern}" for fix in self.calls for pattern in fix.names()]
        marks += [f"names: {name}" for name in self._names]
        marks += [f"resources: {name}" for name in self._resources]
        marks += [
            f"shared: {fix.product}.{fix.name}: {field}"
            for fix in self._shared
            for field in fix.held_by
        ]
        for fix in self.fields:
            marks += [f"fields: {fix.of}.{field}" for field in (*fix.add, *fix.kinds, *fix.free)]
            marks += [f"fields: {fix.of}.order"] * bool(fix.order)
        phrases = [f"shorter: {phrase}" for phrase in self._shorter]
        ours = (mark for mark in marks if mark.partition(": ")[2].partition(".")[0] in known)
        return [mark for mark in (*ours, *phrases) if mark not in self._used]
