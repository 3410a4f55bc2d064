"""Docstrings in our own words, composed of facts: purpose, what is needed, limits, scope."""

from __future__ import annotations

from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.functions import Function
from zoho_async.codegen.model import Resource
from zoho_async.codegen.naming import plural

_PLAIN: Final = {
    "create": "Create {one}.",
    "get": "One {noun} with all its fields.",
    "update": "Change {one}; fields that are not sent stay as they are.",
    "delete": "Delete {one}.",
    "void": "Void {one}.",
    "upsert": (
        "Change the {noun} whose unique custom field ``key`` has ``value``, or create it where "
        "there is none. Doing so twice does no harm."
    ),
}


def of_module(product: str, resource: Resource) -> str:
    """The docstring of a module of functions."""
    many = words.phrase(plural(resource.noun))
    return f"{many.capitalize()} of Zoho {product.capitalize()}."


def of(function: Function, name: str = "", purpose: str = "") -> str:
    """The docstring of a function (or of its twin ``name``, which does ``purpose``)."""
    parts = [purpose or function.purpose or _purpose(function, name or function.name)]
    needed = [node.name for node in function.body_nodes if node.required]
    if needed and function.body != "raw" and not function.body_many:
        parts[0] += f" Needs {_listed(needed)}."
    if function.batch:
        parts[0] += f" At most {function.batch} ids a call."
    if function.answer == "list":
        parts[0] += _walk(function)
    if function.answer == "done" and function.call.method == "GET":
        parts[0] += " What it answers is not described: see ``extra`` of the answer."
    scopes = f"Scope: {function.scope}." if function.scope else ""
    return "\n\n".join(part for part in (*parts, scopes) if part)


def _purpose(function: Function, name: str) -> str:
    noun = words.phrase(function.noun)
    one, many = words.article(noun), words.phrase(plural(function.noun))
    if name in _PLAIN:
        return _PLAIN[name].format(one=one, noun=noun, many=many)
    if name == "list":
        return f"{many.capitalize()}."
    is_bulk = name.startswith("bulk_")
    verb, _, rest = name.removeprefix("bulk_").partition("_")
    said = f"{verb} {words.phrase(rest)}".strip()
    whose = ""
    if is_bulk:
        whose = f" of many {many}"
    elif any(each.argument == f"{function.noun}_id" for each in function.ids):
        whose = f" of {one}"
    if verb == "list":
        return f"{words.phrase(rest).capitalize()}{whose}."
    if verb == "mark" and rest.startswith("as_"):
        target = f"many {many}" if is_bulk else one
        return f"Mark {target} {words.phrase(rest)}."
    if not rest:
        return f"{verb.capitalize()} {many if is_bulk else one}."
    return f"{said.capitalize()}{whose}."


def _walk(function: Function) -> str:
    if not function.paged:
        return " Zoho answers them all at once."
    if function.order:
        return (
            f" Iterating goes through all pages in order of ``{function.order}``; with a "
            "``sort_column`` of yours, rows that others change meanwhile may be missed."
        )
    return " Iterating goes through all pages."


def _listed(names: list[str]) -> str:
    ticked = [f"``{name}``" for name in names]
    return ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} and {ticked[-1]}"
