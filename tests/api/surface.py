"""The public face of the package as text, a line for each name: ``python -m tests.api.surface``.

Hand-written modules are listed in full. A generated resource is one line: its functions, its
structs and a digest of their signatures and fields, so that a change shows without half a million
words.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType

import msgspec

from zoho_async.description import operations
from zoho_async.operation import PRODUCTS

FILE = Path(__file__).with_name("public.txt")

#: The modules whose names programs import; each says what is public in ``__all__`` or by name.
ROOMS = (
    "zoho_async",
    "zoho_async.auth",
    "zoho_async.operation",
    "zoho_async.clock",
    "zoho_async.errors",
    "zoho_async.events",
    "zoho_async.export",
    "zoho_async.export.destinations.base",
    "zoho_async.importer",
    "zoho_async.integrations.dask",
    "zoho_async.export.destinations.open",
    "zoho_async.export.run",
    "zoho_async.http.download",
    "zoho_async.legacy",
    "zoho_async.limits",
    "zoho_async.operation",
    "zoho_async.paging",
    "zoho_async.pytest_plugin",
    "zoho_async.regions",
    "zoho_async.resource",
    "zoho_async.http.reply",
    "zoho_async.http.retry",
    "zoho_async.sandbox",
    "zoho_async.sandbox.simulation.proxy",
    "zoho_async.observability",
    "zoho_async.observability.opentelemetry",
    "zoho_async.http.upload",
    "zoho_async.webhooks",
    "zoho_async.webhooks.install",
    "zoho_async.wire",
)


def surface() -> str:
    """Every public name with its signature, sorted by room."""
    return "\n".join([*_rooms(), *_resources()]) + "\n"


def _rooms() -> Iterator[str]:
    for name in ROOMS:
        module = importlib.import_module(name)
        yield from sorted(line for each in _public(module) for line in _told(name, module, each))


def _public(module: ModuleType) -> list[str]:
    named = getattr(module, "__all__", None)
    if named is not None:
        return list(named)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _told(room: str, module: ModuleType, name: str) -> Iterator[str]:
    value = getattr(module, name)
    if inspect.isclass(value):
        yield f"{room}.{name}{_signature(value)}"
        for member in _members(value):
            yield f"{room}.{name}.{member}"
    elif callable(value) and inspect.isfunction(value):
        yield f"{room}.{name}{_signature(value)}"
    else:
        yield f"{room}.{name}"


def _members(owner: type) -> Iterator[str]:
    for name in sorted(dir(owner)):
        if name.startswith("_") or name in vars(object):
            continue
        found = inspect.getattr_static(owner, name)
        if isinstance(found, property | cached_property):
            yield name
        elif isinstance(found, classmethod | staticmethod) or inspect.isfunction(found):
            yield name + _signature(getattr(owner, name))


def _signature(value: object) -> str:
    """Names and kinds of parameters and whether they have a default; types are pyright's matter.

    Functions of the standard library have none: newer versions of Python tell more about them.
    """
    if inspect.isbuiltin(value):
        return ""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]  # asked of what may have none
    except (TypeError, ValueError):
        return ""
    bare = [
        parameter.replace(
            annotation=inspect.Parameter.empty,
            default=... if parameter.default is not parameter.empty else parameter.empty,
        )
        for parameter in signature.parameters.values()
    ]
    text = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return text.replace("=Ellipsis", "=...")


def _resources() -> Iterator[str]:
    for product in PRODUCTS:
        by_module: dict[str, list[str]] = {}
        for endpoint in operations(product):
            by_module.setdefault(endpoint.module, []).append(endpoint.function)
        for name, functions in sorted(by_module.items()):
            module = importlib.import_module(name)
            types = importlib.import_module(name.replace(product, f"{product}.types", 1))
            structs = sorted(
                each
                for each, value in vars(types).items()
                if inspect.isclass(value)
                and issubclass(value, msgspec.Struct)
                and value.__module__.startswith(f"zoho_async.{product}")
            )
            lines = [each + _signature(getattr(module, each)) for each in sorted(functions)]
            # Fields are given by name: their order is no promise.
            fields = {each: sorted(getattr(types, each).__struct_fields__) for each in structs}
            lines += [f"{each}{names}" for each, names in fields.items()]
            digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
            yield f"{name} {digest}: {', '.join(sorted(functions))}; {', '.join(structs)}"


if __name__ == "__main__":
    FILE.write_text(surface(), "utf-8")
    print(f"wrote {FILE}", file=sys.stderr)
