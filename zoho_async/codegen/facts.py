"""What each field and parameter is: a written sentence, then what the description says of it.

The sentences are written by name in ``facts.toml``, because Zoho's own texts are Zoho's. The facts
behind them (allowed values, lengths, editions) come from the description.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.functions import Parameter
from zoho_async.codegen.naming import plural
from zoho_async.codegen.structs import Member

FILE: Final = Path(__file__).parent / "facts.toml"
#: More editions than these are nearly all of them.
_MOST_EDITIONS: Final = 8


class Facts:
    """The sentences of ``facts.toml``, and which of them were used."""

    def __init__(self, tables: dict[str, dict[str, str]]) -> None:
        self._names: Final = tables["names"]
        self._parameters: Final = tables["parameters"]
        self._patterns: Final = tables["patterns"]
        self._spelling: Final = tables["spelling"]
        self._editions: Final = tables["editions"]
        self._used: Final[set[str]] = set()

    @classmethod
    def read(cls, path: Path = FILE) -> Facts:
        """Read ``facts.toml``."""
        return cls(tomllib.loads(path.read_text("utf-8")))

    def of_field(self, member: Member, record: str) -> str:
        """The docstring of a field; ``record`` is the noun of the struct that has it."""
        facts = [
            self._sentence(member.name, record, self._names),
            _values(member.allowed),
            _length(member.max_length),
            f"At most {member.max_items} values." if member.max_items else "",
            self._of_editions(member.regions),
            {
                "record": "Described for single records only.",
                "list": "Described for lists only.",
            }.get(member.only, ""),
        ]
        return _joined(facts)

    def of_parameter(self, parameter: Parameter, record: str, *, is_filter: bool = False) -> str:
        """The text of a parameter; ``record`` is the noun of the function's record."""
        table = self._names if parameter.name not in self._parameters else self._parameters
        sentence = self._sentence(parameter.name, record, table)
        is_plain = parameter.name not in self._parameters and not sentence.startswith("Filter")
        if is_filter and is_plain:
            sentence = f"Filter: {_lowered(sentence)}"
        facts = [
            sentence,
            _values(parameter.allowed) if parameter.name != "sort_order" else "",
            _length(parameter.max_length),
            f"At most {parameter.most} per call." if parameter.most else "",
            self._of_editions(parameter.regions),
        ]
        return _joined(facts)

    def of_variant(self, name: str, parameter: Parameter, record: str) -> str:
        """The text of a parameter that Zoho describes as a form of another (``date_after``)."""
        sentence = self._sentence(name, record, self._names)
        return _joined([sentence, _length(parameter.max_length)])

    def unused(self) -> list[str]:
        """The sentences that no field or parameter uses."""
        return sorted({*self._names, *self._parameters, *self._patterns} - self._used)

    def phrase(self, name: str) -> str:
        """A name as words: ``salesorder_number`` is ``sales order number``."""
        parts = words.snake(name).split("_")
        return " ".join(self._spelling.get(part, part) for part in parts if part)

    def _sentence(self, name: str, record: str, table: dict[str, str]) -> str:
        key = name or "value"
        pattern, rest = key, key
        if key in table:
            template = table[key]
        else:
            pattern = next(each for each in self._patterns if fnmatch.fnmatchcase(key, each))
            template = self._patterns[pattern]
            head, _, tail = pattern.partition("*")
            rest = key.removeprefix(head).removesuffix(tail)
        self._used.add(pattern)
        word = self.phrase(rest)
        return template.format(
            the=f"the {self.phrase(record)}",
            name=rest,
            word=word,
            words=self._plural(word),
            Word=word[:1].upper() + word[1:],
        )

    def _plural(self, word: str) -> str:
        is_many = words.singular(word.rpartition(" ")[2]) != word.rpartition(" ")[2]
        return word if is_many else plural(word)

    def _of_editions(self, regions: Sequence[str]) -> str:
        if not regions or len(regions) > _MOST_EDITIONS:
            return ""
        return f"Editions: {', '.join(self._editions.get(each, each) for each in regions)}."


def _values(allowed: Sequence[str]) -> str:
    return f"Values: {', '.join(f'``{each}``' for each in allowed)}." if allowed else ""


def _length(most: int | None) -> str:
    return f"At most {most} characters." if most else ""


def _joined(facts: Iterable[str]) -> str:
    return " ".join(fact for fact in facts if fact)


def _lowered(sentence: str) -> str:
    """A sentence as the rest of another one: ``Id of ...`` is ``id of ...``."""
    is_word = sentence[1:2].islower() or sentence[1:2] == " "
    return sentence[:1].lower() + sentence[1:] if is_word else sentence
