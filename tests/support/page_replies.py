"""Check the sandbox's replies against the examples of Zoho Invoice's documentation page.

The page has no schemas and shows one reply per call. The sandbox's reply must have every field of
the example, with a value of the same kind. Further fields are not judged. Habits of the page are
forgiven by name: ids as numbers, ``" "`` for nothing, amounts and booleans as text. So are the few
places where the Books file, which the sandbox follows, differs.

That proves that the sandbox omits nothing that the page shows. It cannot prove that a value means
the same, or judge what the page does not show.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from tests.conformance.functions import Function
from tests.conformance.official import Described, Json
from tests.conformance.pages import INVOICE, invoice_page
from tests.conformance.patches import Patches
from tests.conformance.samples import is_id
from tests.conformance.validation import json_kind
from zoho_async.sandbox.replies import ApiReply

_DECODER: Final = msgspec.json.Decoder[Any](float_hook=Decimal)
#: Patches by the kind of the example and that of the reply.
_PATCHES: Final = {
    ("string", "integer"): "number described as text",
    ("string", "number"): "number described as text",
    ("string", "boolean"): "truth described as text",
    ("boolean", "string"): "truth described as text",
    ("integer", "string"): "text described as number",
    ("number", "string"): "text described as number",
    ("object", "array"): "rows as one object",
    ("array", "object"): "a record as a list",
}
#: Fields for which the Books file has another name or type than the page.
_DIFFER: Final = frozenset(
    {
        *(f"invoice.recurring_invoices.{verb} recurring_invoice.payment_options"
          for verb in ("create", "update", "get")),
        *(f"invoice.retainer_invoices.{verb} retainerinvoices" for verb in ("create", "update")),
        *(f"invoice.retainer_invoices.update_comment {name}"
          for name in ("comment_id", "retainerinvoice_id", "description", "commented_by_id",
                       "commented_by", "date", "date_description", "time", "comment_type")),
    }
)  # fmt: skip
_NUMBERS: Final = frozenset({"integer", "number"})


@functools.cache
def shown() -> Mapping[tuple[str, str], Sequence[Described]]:
    """The examples of each call; the page can show more than one."""
    found: dict[tuple[str, str], list[Described]] = {}
    for each in invoice_page() if INVOICE.exists() else ():
        if each.described.reply_example:
            found.setdefault(each.described.call, []).append(each.described)
    return found


def has(function: Function, name: str) -> bool:
    """Whether the page shows a field at the top level of a reply to a function."""
    if not function.name.startswith("invoice."):
        return False
    return any(name in each.reply_example for each in shown().get(function.key, ()))


def problems(function: Function, reply: ApiReply, patches: Patches) -> list[str]:
    """The parts of the most similar example that a reply lacks."""
    if not function.name.startswith("invoice.") or not reply.content().startswith(b"{"):
        return []
    value = _DECODER.decode(reply.content())
    judged: list[tuple[list[str], Patches]] = []
    for each in shown().get(function.key, ()):
        used = Patches()
        judged.append(
            (list(_Judged(function.name, used).object(each.reply_example, value, "")), used)
        )
    if not judged:
        return []
    found, used = min(judged, key=lambda pair: (len(pair[0]), pair[1].used.total()))
    patches.used.update(used.used)
    return found


class _Judged:
    """Compares a reply with one example."""

    def __init__(self, function: str, patches: Patches) -> None:
        self._function: Final = function
        self._patches: Final = patches

    def object(
        self, example: Mapping[str, Json], value: Mapping[str, Json], path: str
    ) -> Iterator[str]:
        for name, each in example.items():
            if name in value:
                yield from self._value(each, value[name], f"{path}{name}")
            else:
                yield from self._known(f"{path}{name}", None, "is on the page and not sent")

    def _value(self, example: Json, value: Json, path: str) -> Iterator[str]:
        wanted, found = json_kind(example), json_kind(value)
        if value == "" or example is None or (isinstance(example, str) and not example.strip()):
            return
        if wanted == found == "object":
            yield from self.object(example, value, f"{path}.")
        elif wanted == found == "array":
            for each in value[:1] if example else ():
                yield from self._value(example[0], each, f"{path}[]")
        elif wanted != found and not {wanted, found} <= _NUMBERS:
            of_id = is_id(path.rpartition(".")[2]) and found == "string"
            patch = "id is no number" if of_id else _PATCHES.get((wanted, found))
            problem = f"is {value!r:.60}, and {example!r:.60} on the page"
            yield from self._known(path, patch, problem)

    def _known(self, path: str, patch: str | None, problem: str) -> Iterator[str]:
        if patch is None and f"{self._function} {path}" in _DIFFER:
            patch = "reply: Books and the page differ"
        if patch is None:
            yield f"{path} {problem}"
        else:
            self._patches.use(patch)
