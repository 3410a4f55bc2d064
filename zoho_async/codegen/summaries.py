"""The first lines of generated docstrings, written by hand in ``summaries.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.naming import plural

FILE: Final = Path(__file__).parent / "summaries.toml"


class Summaries:
    """One sentence per function name, and per resource if its function needs other words."""

    def __init__(self, names: dict[str, str], resources: dict[str, str]) -> None:
        self._names: Final = names
        self._resources: Final = resources
        self._used: Final[set[str]] = set()

    @classmethod
    def read(cls, path: Path = FILE) -> Summaries:
        """The sentences of ``summaries.toml``."""
        tables = tomllib.loads(path.read_text("utf-8"))
        return cls(tables["names"], tables["resources"])

    def of(self, full_name: str, noun: str) -> str:
        """The sentence of ``books.invoices.void``, whose records are called ``noun``.

        Raises `KeyError` if there is none.
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
        """The sentences that no function needed."""
        return sorted({*self._names, *self._resources} - self._used)
