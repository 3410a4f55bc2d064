"""Which column of a file goes to which field, and the TOML file that keeps it.

::

    target = "books.invoices"

    [columns]
    "Customer" = "customer_id"
    "City" = "billing_address.city"
    "Quantity" = "line_items.quantity"
    "Region" = "cf_region"
    "Remark" = ""

A field is one of the request's, ``object.field``, ``list.field`` or a custom field ``cf_name``. A
column with ``""`` is left out. Every column must be mapped, so that none is lost by a misspelling.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from zoho_async.description import Field
from zoho_async.errors import ConfigurationError

CUSTOM: Final = "cf_"
#: In a mapping's file: the field of the column is still to be named.
UNDECIDED: Final = "?"
_API_NAME: Final = re.compile(r"cf_[a-z0-9_]{1,100}", re.ASCII)
#: Headers that name the record behind an id, by its field. ``customer`` alone names it too.
_NAMED: Final = {
    "customer_id": ("customer_name", "customer_email"),
    "vendor_id": ("vendor_name", "vendor_email"),
    "item_id": ("item_name", "item_sku", "sku"),
    "tax_id": ("tax_name",),
    "currency_id": ("currency_code",),
    "account_id": ("account_name",),
    "paid_through_account_id": ("paid_through",),
    "project_id": ("project_name",),
}


class Place(msgspec.Struct, frozen=True):
    """Where the values of a column go.

    ``outer`` is the object or list that has the field, "" at the top. ``in_list`` says that it is a
    list. A custom field has ``outer`` ``custom_fields``, and its API name is the field's.
    """

    field: Field
    outer: str = ""
    in_list: bool = False

    @property
    def name(self) -> str:
        """As it is written in a mapping."""
        if self.outer in ("", "custom_fields"):
            return self.field.name
        return f"{self.outer}.{self.field.name}"


class UnmappedColumns(ConfigurationError):
    """Columns have no known field. ``names`` has all columns, with `UNDECIDED` for these."""

    def __init__(self, problem: str, names: Mapping[str, str]) -> None:
        self.names: Final = dict(names)
        super().__init__(problem)


class ColumnMapping(msgspec.Struct, frozen=True):
    """The columns of a file for one resource. ``names`` has every column, ``places`` the used."""

    target: str
    names: Mapping[str, str]
    places: Mapping[str, Place]

    def column_of(self, name: str) -> str | None:
        """Return the column for a field, by the mapping's name or the field's own."""
        for column, place in self.places.items():
            if name in (place.name, place.field.name):
                return column
        return None


def map_columns(
    target: str,
    fields: Sequence[Field],
    columns: Sequence[str],
    given: Mapping[str, str] | None = None,
) -> ColumnMapping:
    """Return the mapping of ``columns``: as ``given``, else by their names.

    Raises `ConfigurationError` for a column that has no field, a field that does not exist, and two
    columns for one field.
    """
    known = dict(_places(fields))
    if given is None:
        names = {column: _guess(target, column, known) for column in columns}
        unknown = [column for column, name in names.items() if name is None]
    else:
        names = dict[str, str | None](given)
        unknown = [column for column in columns if column not in names]
    unknown += [column for column in columns if names.get(column) == UNDECIDED]
    if unknown:
        draft = {column: names.get(column) or UNDECIDED for column in columns}
        raise UnmappedColumns(_unmapped(target, unknown, known), draft)
    places: dict[str, Place] = {}
    for column, name in names.items():
        if not name or column not in columns:
            continue
        place = place_named(name, known)
        if place is None:
            near = difflib.get_close_matches(name, known, n=3)
            advice = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigurationError(f"column {column!r}: {target} has no field {name!r}{advice}")
        double = next((one for one, other in places.items() if other.name == place.name), None)
        if double is not None:
            raise ConfigurationError(
                f"columns {double!r} and {column!r} both go to {place.name}; leave one out"
            )
        places[column] = place
    if not places:
        raise ConfigurationError("no column goes to a field")
    return ColumnMapping(target, {one: name or "" for one, name in names.items()}, places)


def mapping_text(target: str, names: Mapping[str, str]) -> str:
    """Return the text of a mapping's file."""
    lines = [f"{_quoted(column)} = {_quoted(name)}" for column, name in names.items()]
    return "\n".join([f"target = {_quoted(target)}", "", "[columns]", *lines, ""])


def read_mapping(path: Path, target: str) -> dict[str, str]:
    """Read the columns of a mapping's file. Raises `ConfigurationError`."""
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise ConfigurationError(f"cannot read {path}: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{path} is not TOML: {problem}") from None
    columns = found.get("columns")
    if found.get("target") != target:
        raise ConfigurationError(f"{path} maps {found.get('target')!r}, not {target}")
    if not isinstance(columns, dict) or found.keys() - {"target", "columns"}:
        raise ConfigurationError(f"{path} must have a target and a table of columns, nothing else")
    try:
        return msgspec.convert(columns, dict[str, str])
    except msgspec.ValidationError:
        raise ConfigurationError(f'{path}: each column needs a field in quotes, or ""') from None


def place_named(name: str, known: Mapping[str, Place]) -> Place | None:
    """Return the place that ``name`` means, None if there is no such field."""
    if _API_NAME.fullmatch(name):
        return Place(Field(name=name, kind="any"), "custom_fields", in_list=True)
    return known.get(name)


def _places(fields: Iterable[Field]) -> Iterator[tuple[str, Place]]:
    """Every place that a single cell can fill, by its name."""
    for field in fields:
        yield field.name, Place(field)
        if field.kind == "object" or (field.kind == "list" and field.name != "custom_fields"):
            for inner in field.fields:
                place = Place(inner, field.name, in_list=field.kind == "list")
                yield place.name, place


def _guess(target: str, column: str, known: Mapping[str, Place]) -> str | None:
    """Return the name of the place that a header means, None if no place or several fit."""
    if _API_NAME.fullmatch(column):
        return column
    wanted = _normal(column)
    for field, names in _NAMED.items():
        if wanted in (*names, field, field.removesuffix("_id")):
            fitting = [one.name for one in known.values() if one.field.name == field]
            if fitting:
                return min(fitting, key=lambda name: ("." in name, name))
    exact = [name for name in known if _normal(name) == wanted]
    if exact:
        return exact[0]
    own = target.rpartition(".")[2].removesuffix("s")
    longer = [name for name in (f"{own}_{wanted}", f"is_{wanted}") if name in known]
    if wanted == "display_name" and f"{own}_name" in known:
        longer = [f"{own}_name"]
    if longer:
        return longer[0]
    short = [
        name
        for name, place in known.items()
        if place.outer
        and wanted in (place.field.name, f"{place.outer.removesuffix('_address')}_{_last(name)}")
    ]
    lines = [name for name in short if name.startswith("line_items.")]
    found = lines or short
    return found[0] if len(found) == 1 else None


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _normal(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower().replace("e-mail", "email")).strip("_")


def _unmapped(target: str, columns: Sequence[str], known: Mapping[str, Place]) -> str:
    texts: list[str] = []
    for column in columns:
        near = difflib.get_close_matches(_normal(column), known, n=2)
        texts.append(f"{column!r}" + (f" (perhaps {' or '.join(near)})" if near else ""))
    return (
        f"no field of {target} is known for the columns {', '.join(texts)}; name the fields in a "
        'file with --mapping FILE (a column with "" is left out)'
    )


def _quoted(text: str) -> str:
    """``text`` as a string of TOML."""
    return json.dumps(text).replace("\x7f", "\\u007f")
