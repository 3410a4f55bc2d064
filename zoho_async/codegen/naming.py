"""Names of functions: Zoho's verbs, without the noun that the module's name says.

``list_invoices`` in ``invoices`` becomes ``list``, ``mark_invoice_sent`` becomes ``mark_as_sent``.
If an operation on many records would get the name of the one for a single record, it gets the
prefix ``bulk_``, as Zoho calls it. If that does not help, the operationId stays until the
overrides give a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.spec import CallSpec

#: Words before or after a noun that make it a different noun.
_BEFORE: Final = frozenset({"recurring", "retainer", "sales", "purchase", "credit", "delivery"})
_AFTER: Final = frozenset({"person", "persons", "entry", "entries"})
_FILLERS: Final = frozenset({"to", "of", "for", "from", "in", "on", "with", "an", "a", "the"})
_ARTICLES: Final = frozenset({"a", "an", "the"})
_VERBS: Final = {"retrieve": "get", "retreive": "get", "view": "get"}
_ONE_WAY: Final = {
    "add": "create",
    "approve_final": "approve_finally",
    "final_approve": "approve_finally",
    "bulk_mark_as_void": "bulk_void",
    "email_multiple": "bulk_email",
    "list_of_all": "list",
    "list_of": "list",
    "mark_as_void": "void",
    "update_custom_field": "update_custom_fields",
    "update_customfields": "update_custom_fields",
}
#: Verbs at the start of a name.
_LEADING: Final = frozenset(
    [
        *("list", "get", "create", "update", "upsert", "delete", "configure", "add", "remove"),
        *("apply", "send", "generate", "preview", "bulk"),
    ]
)
_KEYED: Final = ("_using_custom_field", "_using_a_custom_field")


def names(
    calls: Sequence[CallSpec], nouns: Sequence[str], given: Callable[[CallSpec], str | None]
) -> dict[str, str]:
    """The function name of each call, by the call's id. ``given`` looks a name up in the overrides.

    The first of ``nouns`` is the word for the module's records; the others are further words.
    """
    noun = nouns[0]
    fixed = {call.id: given(call) for call in calls}
    raw = {call.id: fixed[call.id] or _short(call, nouns) for call in calls}
    taken: dict[str, list[CallSpec]] = {}
    for call in calls:
        taken.setdefault(raw[call.id], []).append(call)
    for name, rivals in taken.items():
        if len(rivals) < 2:
            continue
        for call in rivals:
            if fixed[call.id]:
                continue
            if _is_bulk(call, noun) and f"bulk_{name}" not in taken:
                raw[call.id] = f"bulk_{name}"
            elif any(not _is_bulk(rival, noun) for rival in rivals if rival is not call):
                raw[call.id] = words.function_name(call.id)
    return raw


def is_upsert(call: CallSpec) -> bool:
    """Whether a call finds its record by the value of a unique field."""
    return any(header.name.lower() == "x-unique-identifier-key" for header in call.headers)


def _short(call: CallSpec, nouns: Sequence[str]) -> str:
    name = words.snake(call.id)
    if is_upsert(call):
        return "upsert"
    for ending in _KEYED:
        name = name.removesuffix(ending)
    tokens = [token for token in name.split("_") if token not in _ARTICLES]
    tokens[0] = _VERBS.get(tokens[0], tokens[0])
    for noun in nouns:
        shorter = _without_noun(tokens, noun)
        if shorter != tokens:
            tokens = shorter
            break
    while len(tokens) > 1 and (tokens[-1] in _FILLERS or tokens == ["list", "all"]):
        tokens.pop()
    return words.function_name(_settled(tokens))


def _settled(tokens: list[str]) -> str:
    """Normalize the different spellings of operationIds."""
    if "mark" in tokens[:2]:
        at = tokens.index("mark")
        if len(tokens) == at + 2:
            tokens = [*tokens[: at + 1], "as", tokens[-1]]
    name = "_".join(tokens)
    return _ONE_WAY.get(name, name)


def _without_noun(tokens: list[str], noun: str) -> list[str]:
    for form in _forms(noun):
        for at in range(1, len(tokens) - len(form) + 1):
            if tokens[at : at + len(form)] != form or tokens[at - 1] in _BEFORE:
                continue
            after = tokens[at + len(form) : at + len(form) + 1]
            if not (after and after[0] in _AFTER):
                return tokens[:at] + tokens[at + len(form) :]
    return tokens


def _forms(noun: str) -> list[list[str]]:
    """The spellings of a noun, longest first: plural and singular, joined and separate."""
    parts = noun.split("_")
    apart = [*parts[:-1], plural(parts[-1])]
    return [apart, parts, ["".join(apart)], ["".join(parts)]]


def plural(noun: str) -> str:
    """``invoice`` -> ``invoices``; ``payment_terms`` is a plural already."""
    if noun.endswith("terms"):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _is_bulk(call: CallSpec, noun: str) -> bool:
    return any(node.name.endswith("_ids") and node.required for node in call.query) or any(
        form in ("_".join(_forms(noun)[0]), _forms(noun)[2][0]) for form in _windows(call.id)
    )


def _windows(name: str) -> list[str]:
    tokens = words.snake(name).split("_")
    return [
        "_".join(tokens[start:end])
        for start in range(len(tokens))
        for end in range(start + 1, len(tokens) + 1)
    ]


def noun_of(name: str) -> str:
    """The object of a function's name, without the verb: ``add_comment`` gives ``comment``."""
    tokens = name.split("_")
    many = tokens[0] == "bulk"
    while tokens and tokens[0] in _LEADING:
        tokens.pop(0)
    return "_".join(["bulk", *tokens] if many and tokens else tokens)
