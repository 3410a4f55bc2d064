"""Facts from the sentences of the description: allowed values, lengths, variants, batches.

Most of Zoho's enumerations are in sentences ("Allowed Values: <code>a</code>, <code>b</code>").
Each function here extracts one fact from a text, or nothing if in doubt: a list with missing
values would refuse a value that Zoho accepts.
"""

from __future__ import annotations

import re
from typing import Final

_ALLOWED: Final = re.compile(
    r"(?:allowed|supported|possible|permitted)\s*(?:<\w+>)?\s*(?:values?|statuses|types?)",
    re.IGNORECASE,
)
_REGIONAL: Final = re.compile(r"\bfor\s+(?:<b>|<strong>)?\s*(?:UAE|Bahrain|UK|MX)\b", re.IGNORECASE)
_LEAD: Final = re.compile(
    r"(?:\s|for|<strong>|</strong>|<b>|</b>|<code>\w+</code>\s*(?=</strong>))*"
)
_GAP: Final = re.compile(
    r"(?:\s|[,:;.&/|-]|</?(?:br|b|strong)\s*/?>|\b(?:and|or|are|is|as|here)\b"
    r"|for (?:as|des)cending|\([^()]*\))*"
)
_CODE: Final = re.compile(r"<code>\s*([^<]*?)\s*</code>|`([^`]+)`")
_VALUE: Final = re.compile(r"[A-Za-z0-9][\w.+/-]*(?: [\w.+/-]+){0,3}\Z")
_WORD: Final = re.compile(r"[A-Za-z0-9][\w.+/-]*")
_LENGTH: Final = re.compile(
    r"max(?:imum)?[\s-]*length(?:\s+allowed)?(?:\s+(?:is|of))?\s*[:\[]?\s*\[?\s*(\d+)",
    re.IGNORECASE,
)
_BATCH: Final = re.compile(
    r"(?:max(?:imum)?(?: of)?|(?:up)?to) (\d+) (?!char|days|files|documents|MB)\w+", re.IGNORECASE
)
_MOST_IDS: Final = re.compile(r"max(?:imum)?(?: of)? (\d+)\b(?! ?char)", re.IGNORECASE)
_SUFFIXES: Final = (
    "startswith|contains|start|end|before|after|less_than|less_equals|greater_than|greater_equals"
    "|not_in|in"
)


def allowed_values(text: str) -> tuple[str, ...]:
    """The values that a text lists after "Allowed values" or a similar phrase, in order."""
    found: dict[str, None] = {}
    for start in _ALLOWED.finditer(text):
        at = start.end()
        lead = _LEAD.match(text, at)
        at = lead.end() if lead else at
        while True:
            gap = _GAP.match(text, at)
            code = _CODE.match(text, gap.end() if gap else at)
            if code is None:
                break
            for value in re.split(r"\s*,\s*|\s+and\s+", code.group(1) or code.group(2) or ""):
                if not _VALUE.match(value):
                    return ()
                found[value] = None
            at = code.end()
    if _REGIONAL.search(text) or len(found) < 2:
        return ()
    return tuple(found)


def max_length(text: str) -> int | None:
    """The maximum number of characters that a text states."""
    found = _LENGTH.search(text)
    return int(found.group(1)) if found else None


def batch_limit(text: str) -> int | None:
    """The maximum number of records per call that a text states."""
    found = _BATCH.search(text)
    return int(found.group(1)) if found else None


def most_ids(name: str, text: str) -> int | None:
    """The maximum number of ids that the text of an id parameter states."""
    found = _MOST_IDS.search(text) if re.search(r"_ids(_in)?$", name) else None
    return int(found.group(1)) if found else None


def widened(allowed: tuple[str, ...], example: object) -> tuple[str, ...]:
    """The values of a field, including its example, which the API evidently accepts.

    An example that is not a single word (a remark, several values, a placeholder) is ignored.
    """
    if not allowed or isinstance(example, bool) or not isinstance(example, str | int):
        return allowed
    value = str(example).strip()
    if value in allowed or not _WORD.fullmatch(value) or value.lower() == "string":
        return allowed
    return (*allowed, value)


def variants(name: str, text: str) -> tuple[str, ...]:
    """The suffixed parameters of a filter (``date_after``) that its text names, in order."""
    found = re.findall(rf"\b{re.escape(name)}_(?:{_SUFFIXES})\b", text)
    return tuple(dict.fromkeys(found))
