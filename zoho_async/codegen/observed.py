"""Operations that are in no OpenAPI file: observed with clients, or on Zoho's web pages.

Model
    An observed operation enters as the others do: a file ``spec/<product>/<resource>.json``, the
    overrides, the summaries. Each of its calls has ``evidence`` (what it rests on) and
    ``confidence`` (``H``, ``M`` or ``L``, the lower one of the path's and the reply's). The
    functions, their docstrings, `operations()`, the docs and the README get both from there.

A file comes in one of two ways:

- Where the reference has parameters and replies as JSON Schema (``undescribed/reports.json``),
  `document` turns them into an OpenAPI document, which `distill` reads like any other::

      python -m zoho_async.codegen distill --resource books/reports

- Where the reference has only sentences (webhooks, documents, lookups), the file in ``spec/`` is
  written by hand, in the form of `spec.Source`. `distill` leaves it alone.

Then ``python -m zoho_async.codegen`` writes the module. It names what is missing: a summary for
each function name in ``summaries.toml``, and a name in ``[[names]]`` of ``overrides.toml`` where
two operations would share one. An object that holds itself is an object without fields here:
``kinds = { children = "list:NAME" }`` in ``[[fields]]`` names its struct. ``note`` in ``[[calls]]``
adds a sentence to a docstring.

Invariant
    An observed call with the request of a described one is dropped.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

Json: TypeAlias = dict[str, Any]

#: The resource that `document` makes.
REPORTS: Final = "reports"
_FOLDER: Final = "undescribed"
#: Titles of the reference that its other files describe already.
_OFFICIAL: Final = "in the official set"
_CERTAINTY: Final = "LMH"
_TYPES: Final = {"date": "string", "JSON text": "string", "string or JSON text": "string"}
#: The number of a file in a collection that others do not have.
_NUMBERS: Final = re.compile(r"index ids? [\d, ]+\d(: )?")


def resources(reference: Path, product: str) -> list[str]:
    """The resources of a product that `document` makes; none if the reference lacks them."""
    return [REPORTS] if _rows(reference, product) else []


def document(reference: Path, product: str) -> Json:
    """The OpenAPI document that the reports of a product would have."""
    paths: dict[str, Json] = {}
    for row in _rows(reference, product):
        path = _bare(row["path"])
        paths.setdefault(path, {})[row["method"].lower()] = _operation(row)
    return {"paths": paths, "components": {}}


def requests(reference: Path, product: str) -> list[tuple[str, str]]:
    """Method and path of each observed operation of a product in the reference.

    Paths with a ``{module}`` stand for many described operations and are left out.
    """
    folder = reference / _FOLDER
    if not folder.is_dir():
        return []
    webhooks = json.loads((folder / "webhooks.json").read_text("utf-8"))["operations"]
    others = json.loads((folder / "documents-and-lookups.json").read_text("utf-8"))
    return [
        (row["method"], _bare(row["path"]))
        for row in [*webhooks, *others]
        if row["product"] == product
        and not row.get("in_official_set")
        and row["path"]
        and not re.search(r"{module}|<module>", row["path"])
    ]


@functools.cache
def _rows(reference: Path, product: str) -> list[Json]:
    path = reference / _FOLDER / "reports.json"
    rows: list[Json] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return [row for row in rows if row["product"] == product and row["status"] != _OFFICIAL]


def _bare(path: str) -> str:
    """A path below the product's version: ``/reports/trialbalance``."""
    return re.sub(r"^/\w+/v\d", "", path)


def _operation(row: Json) -> Json:
    shape = cast(Json, row["shape"] or {"type": "object"})
    schema = _plain(shape, row["sample"], shape.get("$defs", {}), ())
    return {
        "operationId": re.sub(
            r"[^a-z0-9]+", "_", re.sub(r"\(.*\)", "", row["title"].lower())
        ).strip("_"),
        "summary": row["title"],
        "parameters": [_parameter(each) for each in row["params"]],
        "security": [{"oauth": [row["scope"]]}],
        "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
        "x-evidence": evidence(row["evidence"]),
        "x-confidence": min(row["confidence"], row["shape_confidence"], key=_CERTAINTY.index),
    }


def evidence(texts: Sequence[str]) -> str:
    """The evidence in words, without numbers that only one collection of files has."""
    plain = [_NUMBERS.sub(lambda found: "" if found[1] else "a client", text) for text in texts]
    return "; ".join(dict.fromkeys(text.strip() for text in plain if text.strip()))


def _parameter(given: Json) -> Json:
    kind = given["type"]
    schema: Json = {"type": _TYPES.get(kind, kind)}
    if kind == "date":
        schema["format"] = "date"
    if given["values"]:
        schema["enum"] = given["values"]
    return {
        "name": given["name"],
        "in": "query",
        "required": given["required"],
        "schema": schema,
    }


def _plain(schema: Json, sample: Any, known: Mapping[str, Json], seen: tuple[str, ...]) -> Json:
    """A JSON Schema without references and alternatives; a sample's values are its examples."""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in seen:
            return {"type": "object"}
        schema, seen = known[name], (*seen, name)
    for each in schema.get("anyOf", []):
        schema = {**each, **schema} if "type" in each else schema
    types = [each for each in _list(schema.get("type")) if each != "null"]
    plain: Json = {"type": types[0]} if len(types) == 1 else {}
    if "enum" in schema:
        plain["enum"] = schema["enum"]
    if "properties" in schema:
        values = cast(Json, sample) if isinstance(sample, dict) else {}
        plain["properties"] = {
            name: _plain(each, values.get(name), known, seen)
            for name, each in schema["properties"].items()
        }
        plain["required"] = schema.get("required", [])
    elif "items" in schema:
        rows = [*cast(Sequence[Any], sample)] if isinstance(sample, list) else []
        plain["items"] = _plain(schema["items"], rows[0] if rows else None, known, seen)
    elif sample is not None and not isinstance(sample, list | dict):
        plain["example"] = sample
    elif "yyyy-MM-dd" in schema.get("description", ""):
        plain["example"] = "2026-01-31"
    return plain


def _list(value: Any) -> list[Any]:
    return [*cast(Sequence[Any], value)] if isinstance(value, list) else [value] if value else []
