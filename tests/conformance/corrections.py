"""The project's corrections of the description, read as data.

A difference that a correction explains is not a fault, and the report names it. Only the file is
shared with the generator, not the code that reads it.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from tests.conformance.official import Described, nameless

_FOLDER: Final = Path(__file__).parents[2] / "zoho_async" / "codegen"


@functools.cache
def _tables() -> tuple[tuple[dict[str, Any], ...], dict[str, frozenset[str]]]:
    calls: list[dict[str, Any]] = []
    fields: dict[str, set[str]] = {}
    for path in sorted(_FOLDER.rglob("*.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        calls += content.get("calls", [])
        for fix in content.get("fields", []):
            names = {*fix.get("add", {}), *fix.get("kinds", {})}
            for of in [fix["of"]] if isinstance(fix["of"], str) else fix["of"]:
                fields.setdefault(of.rpartition(".")[2], set()).update(names)
    return tuple(calls), {struct: frozenset(names) for struct, names in fields.items()}


class Correction:
    """The corrections of one operation."""

    def __init__(self, described: Described) -> None:
        self._fixes = [
            fix
            for fix in _tables()[0]
            if any(_matches(fix["of"], described.product, name) for name in described.names)
        ]

    def _all(self, key: str) -> list[Any]:
        return [fix[key] for fix in self._fixes if fix.get(key)]

    @property
    def dropped(self) -> frozenset[str]:
        return frozenset(name for names in self._all("drop") for name in names)

    @property
    def added(self) -> frozenset[str]:
        return frozenset(extra["name"] for extras in self._all("query") for extra in extras)

    @property
    def fixed(self) -> dict[str, str]:
        """The parameters that a function or its twin always sends."""
        fixed: dict[str, str] = {}
        for fix in self._fixes:
            for each in (fix, *fix.get("twins", ())):
                fixed |= each.get("fixed", {})
        return fixed

    @property
    def uploads(self) -> frozenset[str]:
        return frozenset(self._all("upload"))

    @property
    def form(self) -> str:
        """The form field with the JSON body, or ""."""
        return next(iter(self._all("form")), "")

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(nameless(path) for path in self._all("path"))

    @property
    def answer(self) -> bool:
        """Whether a correction changes the described reply."""
        return any(self._all(key) for key in ("answer", "key", "record", "accept", "twins"))

    @property
    def scopes(self) -> frozenset[str]:
        """The corrected scopes."""
        return frozenset(self._all("scope"))

    @property
    def keys(self) -> frozenset[str]:
        """The corrected envelope keys."""
        return frozenset(self._all("key"))

    @property
    def body(self) -> bool:
        return bool(self._all("body"))


def corrected(struct: str, field: str) -> bool:
    """Whether a correction added a field of a struct or changed its type.

    The corrections of ``InvoiceInput`` apply to ``InvoiceCreate`` too.
    """
    named = re.sub("Create$", "Input", struct)
    return field in _tables()[1].get(named, frozenset())


def _matches(of: str | list[str], product: str, name: str) -> bool:
    """Whether a correction applies to an operation, whatever its file is called."""
    for pattern in [of] if isinstance(of, str) else of:
        wanted, _, rest = pattern.partition(".")
        last = rest.rpartition(".")[2]
        if fnmatch.fnmatchcase(product, wanted) and fnmatch.fnmatchcase(name, last):
            return True
    return False
