"""Docstrings of generated modules and functions: a written summary, then facts and the scope."""

from __future__ import annotations

from zoho_async.codegen import words
from zoho_async.codegen.functions import Function
from zoho_async.codegen.model import ResourceModel
from zoho_async.codegen.naming import plural
from zoho_async.operation import FILE_SIZE


def of_module(product: str, resource: ResourceModel) -> str:
    """The docstring of a module of functions."""
    many = words.phrase(plural(resource.noun))
    about = f"{many.capitalize()} of Zoho {product.capitalize()}."
    if not resource.errors:
        return about
    codes = "; ".join(f"{code} {said}" for code, said in sorted(resource.errors.items()))
    return f"{about}\n\nError codes of this resource: {codes}."


def of_function(function: Function, summary: str, *, is_twin: bool = False) -> str:
    """The docstring of a function, or of its twin that answers a document."""
    notes = [*_notes(function), *([] if is_twin else _files(function))]
    scope = f"Scope: {function.scope}." if function.scope else ""
    return "\n\n".join(part for part in (summary, " ".join(notes), scope) if part)


def _notes(function: Function) -> list[str]:
    """What a caller must know besides the purpose."""
    required = [node.name for node in function.body_nodes if node.required]
    notes: list[str] = []
    if required and function.body != "raw" and not function.body_many:
        notes.append(f"Requires {_listed(required)}.")
    if function.answer == "list":
        notes += _list_notes(function)
    notes += _id_limits(function)
    if function.answer == "done" and function.call.method == "GET":
        notes.append("The reply is not described: find it in ``extra``.")
    if function.note:
        notes.append(function.note)
    if function.alternatives:
        notes.append(f"Other documents name it {_listed(list(function.alternatives))}.")
    if function.call.unconfirmed:
        notes.append("Unconfirmed: taken from Books; no document of this product describes it.")
    return notes


def _list_notes(function: Function) -> list[str]:
    """What a list can do, and what it cannot do."""
    notes: list[str] = []
    if not function.paged:
        notes.append("All rows come in one reply.")
    if function.paged and function.order:
        notes.append(
            f"Iteration sorts by ``{function.order}``. With another ``sort_column``, a row that "
            "moves during the iteration can be missed."
        )
    if function.ignored:
        which = "all filters" if "*" in function.ignored else _listed(list(function.ignored))
        notes.append(f"Zoho accepts {which} here but ignores them.")
    if function.changes:
        notes.append(f"``{function.changes}`` selects what changed since a moment.")
    if function.per_page != 200:
        notes.append(f"A page holds {function.per_page} rows by default.")
    if function.details and function.details != function.full_name:
        reader = function.details.rpartition(".")[2]
        notes.append(f"``{reader}`` reads many of them in full, by their ids.")
    return notes


def _id_limits(function: Function) -> list[str]:
    """How many ids one call takes, and what happens to more."""
    limited = function.limited
    if function.answer == "list":
        rows = [each for each in limited if function.names_rows(each)]
        where = "" if function.batches else " in ``{}``"
        return [
            f"More than {each.most} ids{where.format(each.argument)} are read by several calls."
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
    """Which files a function takes."""
    if not function.uploads or function.answer == "file":
        return []
    which = _listed([each.argument for each in function.uploads])
    size = (function.file_size or FILE_SIZE) // 1024**2
    kinds = f" {' '.join(function.file_types)}," if function.file_types else ""
    return [f"{which}:{kinds} at most {size} MB."]


def _listed(names: list[str]) -> str:
    ticked = [f"``{name}``" for name in names]
    return ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} and {ticked[-1]}"
