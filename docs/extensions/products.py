"""Tables of every operation of a product, made from `operations()` when the site is built.

A page of the folder ``products`` that is called as a product gets them at its end. Functions whose
module has a page of its own (``products/books.invoices``) are links to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from itertools import groupby
from typing import Any, Final

from sphinx.application import Sphinx

from zoho_async.description import Endpoint, operations
from zoho_async.operation import PRODUCTS

_FOLDER: Final = "products/"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _append_tables)
    app.connect("autodoc-skip-member", _skip_structs)
    app.connect("viewcode-find-source", _skip_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _append_tables(app: Sphinx, docname: str, source: list[str]) -> None:
    product = docname.removeprefix(_FOLDER)
    if docname.startswith(_FOLDER) and product in PRODUCTS:
        described = {name.removeprefix(_FOLDER) for name in app.env.found_docs}
        source[0] += "\n".join(tables(product, described))


def _skip_structs(
    app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object
) -> bool | None:
    """Of the generated modules only functions are shown: their structs have hundreds of fields."""
    module = getattr(thing, "__module__", "") or ""
    return True if inspect.isclass(thing) and _is_generated(module) else None


def _skip_source(app: Sphinx, module: str) -> tuple[str, dict[str, Any]] | None:
    """No highlighted copy of generated code, which would be most of the site."""
    return ("", {}) if _is_generated(module) else None


def _is_generated(module: str) -> bool:
    return module.split(".")[1:2] != [] and module.split(".")[1] in PRODUCTS


def tables(product: str, described: set[str]) -> list[str]:
    """A heading and a table for each resource; ``described`` are the modules that have pages."""
    lines: list[str] = []
    by_resource: Callable[[Endpoint], str] = lambda each: each.resource  # noqa: E731
    for resource, endpoints in groupby(operations(product), by_resource):
        module = import_module(f"zoho_async.{resource}")
        name = resource.partition(".")[2]
        lines += ["", f"## {name}", ""]
        if resource in described:
            lines += [f"[All of it]({resource}.md) with parameters.", ""]
        lines += ["| function | call and scope |", "|---|---|"]
        for each in endpoints:
            summary = (inspect.getdoc(getattr(module, each.function)) or "").partition("\n")[0]
            scope = f"<br>{each.scope}" if each.scope else ""
            lines.append(
                f"| {_function(each, resource in described)}<br>{summary.replace('``', '`')} "
                f"| `{each.method} {each.path}`{scope} |"
            )
    return lines


def _function(each: Endpoint, is_described: bool) -> str:
    if is_described:
        return f"{{py:func}}`{each.function} <{each.module}.{each.function}>`"
    return f"`{each.function}`"
