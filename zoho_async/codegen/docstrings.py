"""Docstrings of generated modules and functions: a summary, then facts and the scope."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.facts import Facts
from zoho_async.codegen.functions import Function, Parameter
from zoho_async.codegen.model import ResourceModel
from zoho_async.codegen.naming import plural
from zoho_async.operation import FILE_SIZE

_CONFIDENCE: Final = {"H": "high", "M": "medium", "L": "low"}
FILE: Final = Path(__file__).parent / "summaries.toml"


class Summaries:
    """The written first lines: one per function name, or per function if it needs others."""

    def __init__(self, names: dict[str, str], resources: dict[str, str]) -> None:
        self._names: Final = names
        self._resources: Final = resources
        self._used: Final[set[str]] = set()

    @classmethod
    def read(cls, path: Path = FILE) -> Summaries:
        """Read ``summaries.toml``."""
        tables = tomllib.loads(path.read_text("utf-8"))
        return cls(tables["names"], tables["resources"])

    def of(self, full_name: str, noun: str) -> str:
        """The summary of a function such as ``books.invoices.void``; ``noun`` is its record.

        Raises `KeyError` if the function has no summary.
        """
        name = full_name.rpartition(".")[2]
        key = full_name if full_name in self._resources else name
        sentence = self._resources.get(full_name) or self._names[name]
        self._used.add(key)
        return sentence.format(
            one=words.article(words.phrase(noun)),
            noun=words.phrase(noun),
            many=words.phrase(plural(noun)),
        )

    def unused(self) -> list[str]:
        """The summaries that no function uses."""
        return sorted({*self._names, *self._resources} - self._used)


def of_module(product: str, resource: ResourceModel) -> str:
    """The docstring of a module of functions."""
    many = words.phrase(plural(resource.noun))
    about = f"{many.capitalize()} of Zoho {product.capitalize()}."
    if not resource.errors:
        return about
    codes = "; ".join(f"{code} {said}" for code, said in sorted(resource.errors.items()))
    return f"{about}\n\nError codes of this resource: {codes}."


def of_function(function: Function, summary: str, *, is_twin: bool = False) -> str:
    """The docstring of a function, or of its twin that returns a document."""
    notes = [*_notes(function), *([] if is_twin else _files(function))]
    scope = f"Scope: {function.scope}." if function.scope else ""
    return "\n\n".join(part for part in (summary, " ".join(notes), scope) if part)


def of_report(function: Function, title: str, note: str, unknown: str) -> str:
    """The docstring of a report."""
    scope = f"Scope: {function.scope}."
    known = " ".join(part for part in (*_observed(function), unknown) if part)
    return "\n\n".join(
        part for part in (f"Return the report '{title}'.", note, known, scope) if part
    )


def of_arguments(function: Function, facts: Facts, extra: list[Parameter]) -> dict[str, str]:
    """What each argument of a function is, except its body, by its name in Python."""
    texts = {
        "zoho": "The session that sends the call.",
        "extra_query": "Further query parameters, by Zoho's names.",
        "extra_body": "Further fields of the body, by Zoho's names.",
    }
    if function.upsert:
        texts["key"] = "API name of the unique field that finds the record."
        texts["value"] = "Value of the unique field."
    filters = [each for each in function.query if function.answer == "list" and not each.required]
    others = (*function.ids, *function.batches, *function.query, *function.fields)
    for each in (*others, *function.uploads, *extra):
        texts[each.argument] = facts.of_parameter(each, function.noun, is_filter=each in filters)
        if each.required and each not in function.ids:
            texts[each.argument] += " Required."
        for name in each.variants:
            texts[words.identifier(name)] = facts.of_variant(name, each, function.noun)
    if "per_page" in texts:
        texts["per_page"] += f" At most {function.max_per_page}."
    return texts


def of_body(function: Function) -> str:
    """What the body of a function is."""
    if function.body == "raw":
        return "The body, by Zoho's names."
    return "The records to send." if function.body_many else "The fields to send."


def _notes(function: Function) -> list[str]:
    """Facts that a caller needs, apart from the purpose."""
    required = function.required
    notes: list[str] = []
    if required and function.body != "raw" and not function.body_many:
        notes.append(f"Requires {_listed(required)}.")
    if function.answer == "list":
        notes += _list_notes(function)
    notes += _id_limits(function)
    if function.answer == "done" and function.call.method == "GET":
        notes.append("Zoho does not describe the reply; its fields are in ``extra``.")
    if function.note:
        notes.append(function.note)
    if function.alternatives:
        notes.append(f"Other Zoho pages give the path {_listed(list(function.alternatives))}.")
    if function.call.unconfirmed:
        notes.append("Unconfirmed: derived from Zoho Books; this product's documentation lacks it.")
    return [*notes, *_observed(function)]


def _list_notes(function: Function) -> list[str]:
    """The abilities and limits of a list."""
    notes: list[str] = []
    if not function.paged:
        notes.append("One reply holds all rows.")
    if function.paged and function.order:
        notes.append(
            f"Iteration sorts by ``{function.order}``. With another ``sort_column``, a row that "
            "moves during the iteration can be missed."
        )
    if function.ignored:
        which = "all filters" if "*" in function.ignored else _listed(list(function.ignored))
        notes.append(f"Zoho accepts {which} here but ignores them.")
    if function.changes:
        notes.append(f"``{function.changes}`` returns only records changed since then.")
    if function.per_page != 200:
        notes.append(f"A page holds {function.per_page} rows by default.")
    if function.details and function.details != function.full_name:
        reader = function.details.rpartition(".")[2]
        notes.append(f"``{reader}`` returns records in full by id, many per call.")
    return notes


def _id_limits(function: Function) -> list[str]:
    """The number of ids that one call takes, and the effect of more."""
    limited = function.limited
    if function.answer == "list":
        rows = [each for each in limited if function.names_rows(each)]
        where = "" if function.batches else " in ``{}``"
        return [
            f"More than {each.most} ids{where.format(each.argument)} are split over several calls."
            for each in rows
        ]
    if not limited:
        return []
    if function.answer == "file":
        return [f"One document covers at most {limited[0].most} ids."]
    limits = [f"{limited[0].most} ids per call"]
    limits += [f"{each.most} in ``{each.argument}``" for each in limited[1:]]
    return [f"Takes at most {' and '.join(limits)}; raises `TooManyIds` for more."]


def _files(function: Function) -> list[str]:
    """The files that a function accepts."""
    if not function.uploads or function.answer == "file":
        return []
    which = _listed([each.argument for each in function.uploads])
    size = (function.file_size or FILE_SIZE) // 1024**2
    kinds = f" {' '.join(function.file_types)}," if function.file_types else ""
    return [f"{which}:{kinds} at most {size} MB."]


def _observed(function: Function) -> list[str]:
    """The source of an operation that is in no OpenAPI file."""
    sure = _CONFIDENCE.get(function.call.confidence)
    if sure is None:
        return []
    note = f"Observed: it is in no OpenAPI file of Zoho. Confidence: {sure}."
    if function.call.confidence == "L":
        note += " Its path, parameters and reply can differ: try it before you rely on it."
    return [note]


def _listed(names: list[str]) -> str:
    ticked = [f"``{name}``" for name in names]
    return ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} and {ticked[-1]}"
