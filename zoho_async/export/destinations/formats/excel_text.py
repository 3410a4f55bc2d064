"""Write texts so that Excel shows them unchanged when it opens a CSV file.

Model
-----
Excel guesses a type for each field of a CSV file. ``00123`` becomes 123, an id of 17 digits loses
the last two, ``1-2`` becomes a date, and a field that begins with ``=``, ``+``, ``-`` or ``@`` is a
formula, which can start programs or send data away. Quotes do not prevent any of this.

Values change in these ways, and in no other:

- A text that Excel would read as a number, a date or a truth value becomes ``="00123"``: a formula
  whose value is exactly this text.
- A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break gets ``'`` before it. So
  does such a character after ``;``, a tab or a line break inside a text: if Excel uses another
  separator than the comma, a cell may begin there.
- A number of more than 15 digits becomes a text in the first form, because Excel keeps 15.
- A time with an offset becomes ``2026-11-23 02:00:00`` in UTC, which Excel reads as a time.
- Line breaks inside a text are single line feeds.
- A text of more than 32,767 characters is cut, because Excel would put the rest into other cells.

Numbers, dates and truth values of the description stay as they are.

Unknown
-------
Excel uses the language of the computer. The names of months are known in English and in the larger
languages of Europe. If the decimal separator is a comma, say on import that the
file has a point.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from zoho_async.export.columns.schema import ColumnKind

#: Excel's limits: characters of a cell (UTF-16 units), of a text in a formula, and digits.
LONGEST_TEXT: Final = 32_767
_LONGEST_LITERAL: Final = 255
DIGITS: Final = 15
#: The kinds of columns that hold numbers.
NUMBERS: Final[tuple[ColumnKind, ...]] = ("decimal", "exchange_rate", "integer")

_TIME: Final = "%Y-%m-%d %H:%M:%S"
_CUT: Final = "... (cut)"
_LETTERS: Final = re.compile(r"[^\W\d_]+")
#: The first letters of the names of months, and the other words in what Excel converts.
_MONTHS: Final = re.compile(
    r"(?i)(jan|jän|gen|ene|feb|fév|fev|mar|mär|mrz|maa|apr|avr|abr|mai|may|mag|mei|jun|jui|giu|"
    r"jul|lug|aug|aoû|ago|sep|set|oct|okt|ott|out|nov|dec|dez|déc|dic)"
)
_WORDS: Final = frozenset({"am", "pm", "a", "p", "e"})
_TRUTH_VALUES: Final = frozenset(
    {"true", "false", "wahr", "falsch", "vrai", "faux", "verdadero", "vero", "waar"}
)
#: The characters that begin a formula, also in the wide forms of East Asian keyboards.
_SIGNS: Final = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_BEGINS_FORMULA: Final = re.compile(rf"""(^[\s'"]*|[;\t\n]["'\s]*)(?={_SIGNS})|^(?=[\t\n])""")


def excel_column(kind: ColumnKind, cells: Sequence[Any]) -> list[str | None]:
    """The cells of a column as texts, changed for Excel."""
    if kind in ("text", "json"):
        return [None if cell is None else excel_text(cell) for cell in cells]
    if kind in NUMBERS:
        return [_number(cell) for cell in cells]
    if kind == "time":
        return [None if cell is None else utc_time(cell).strftime(_TIME) for cell in cells]
    if kind == "boolean":
        return [None if cell is None else str(cell).lower() for cell in cells]
    return list(cells)


def excel_text(text: str) -> str:
    """``text`` as a field that Excel shows as this text."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if utf16_length(text) > LONGEST_TEXT:
        text = first_units(text, LONGEST_TEXT - len(_CUT) - 1) + _CUT
    if _is_converted(text):
        return f'="{text}"'
    return _BEGINS_FORMULA.sub(r"\1'", text)


def utf16_length(text: str) -> int:
    """The number of UTF-16 units of ``text``, which is how Excel counts characters."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def first_units(text: str, most: int) -> str:
    """The beginning of ``text``, at most ``most`` UTF-16 units. No character is divided."""
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore")


def significant_digits(number: str) -> int:
    """The digits of a plain decimal number, without zeros at its start and after its fraction."""
    digits = number.lstrip("-")
    if "." in digits:
        digits = digits.rstrip("0")
    return len(digits.replace(".", "").lstrip("0"))


def utc_time(text: str) -> datetime:
    """The moment of a cell of a time column, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _is_converted(text: str) -> bool:
    """Whether Excel may read ``text`` as another value than this text."""
    if len(text) > _LONGEST_LITERAL or any(each in text for each in '";\n\t'):
        return False
    if text.strip().casefold() in _TRUTH_VALUES:
        return True
    if not any(each.isdigit() for each in text):
        return False
    words = _LETTERS.findall(text)
    return all(word.casefold() in _WORDS or _MONTHS.match(word) for word in words)


def _number(cell: str | int | None) -> str | None:
    if cell is None:
        return None
    text = str(cell)
    return text if significant_digits(text) <= DIGITS else f'="{text}"'
