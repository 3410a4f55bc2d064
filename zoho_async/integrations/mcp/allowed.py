"""Which operations a model can call, and which it can only propose.

Model
-----
A model calls what it likes, as often as it likes, with arguments that a text in the books may have
suggested. A method of GET does not mean that a call changes nothing: Zoho creates payment links by
GET, and one parameter of a GET starts a trial.

Invariant
---------
What a model calls without approval returns JSON about the books, changes nothing at Zoho, sends
nothing to anyone, and returns no secret.

Why it holds
------------
- An operation is a read only if it is a GET that returns JSON, its name begins with a verb of
  reading or it is a report, and no list below excludes it. All others need approval, or cannot be
  called at all.
- A path that is filled with ids must be that of the same operation. A contact's id of
  ``contactpersons`` would make it the path of another one, so ids are digits. So would a custom
  module that is called ``share``, so other values must not complete the path of another operation.
- Only described parameters are sent, and none that acts or asks for another form.

Unknown
-------
What a GET does that Zoho does not describe. `tests/unit/test_mcp_allowed.py` looks through the
names, paths and texts of all operations for words of acting.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.http.call import path_of
from zoho_async.operation import PRODUCTS

#: ``read`` is called at once, ``write`` and ``delete`` are proposed, ``closed`` is not for agents.
Access: TypeAlias = Literal["read", "write", "delete", "closed"]

#: How the names of operations that read begin.
_READING: Final = ("get", "list", "search", "bulk_get")
#: GETs that act, or that may act.
_ACTING: Final = frozenset(
    {
        "books.invoices.generate_payment_link",  # creates a link
        "books.invoices.get_payment_qr",  # may create a request for a payment
        "books.invoices.get_payment_qr_status",  # may ask the payment provider
        "books.contacts.verify_address",  # asks another service
        "books.bills.convert_purchase_order",  # its name says that it converts
    }
)
#: Operations that return secrets, or the details of cards and bank accounts.
_SECRET: Final = frozenset(
    {
        "books.bank_accounts.get_bank_statement_import_encryption_key",
        "books.contacts.get_bank_account",
        "books.contacts.get_bank_accounts",
        "books.contacts.get_all_bank_accounts",
        "books.contacts.get_card",
        "books.contacts.get_cards",
    }
)
#: Resources that hold secrets, or code and addresses that Zoho calls on events.
_CLOSED_RESOURCES: Final = frozenset(
    {"bank_accounts", "cards", "custom_functions", "custom_triggers", "webhooks"}
)
#: In Books, bank accounts are the organization's own, not the payment details of customers.
_OPEN: Final = "books.bank_accounts"
#: Writes that destroy records without the method or the word: merged contacts are gone.
_DESTROYING: Final = frozenset({"books.contacts.merge"})
#: Parameters that act, or that ask for a PDF.
_CLOSED_PARAMETERS: Final = frozenset({"startTrial", "accept", "print"})
#: What every list takes, described or not.
_OF_LISTS: Final = frozenset({"page", "per_page", "sort_column", "sort_order"})
#: Ids that are not Zoho's: they can be any text.
_FOREIGN_IDS: Final = frozenset({"{reference_id}"})
_DIGITS: Final = re.compile(r"[0-9]{1,30}")
_CUSTOM_MODULE: Final = re.compile(r"cm_[a-z0-9_]+")
_PLACEHOLDER: Final = re.compile(r"\{\w+\}")


def access_of(facts: OperationFacts) -> Access:
    """Return what a model can do with an operation."""
    resource, verb = facts.resource.partition(".")[2], facts.name.rpartition(".")[2]
    closed = resource in _CLOSED_RESOURCES and facts.resource != _OPEN
    if closed or facts.name in _SECRET or facts.name in _ACTING or facts.answer == "file":
        return "closed"
    if facts.method == "GET":
        reads = verb.startswith(_READING) or resource == "reports"
        return "read" if reads else "closed"
    if facts.method == "DELETE" or "delete" in verb or facts.name in _DESTROYING:
        return "delete"
    return "write"


@functools.cache
def operations() -> Mapping[str, OperationFacts]:
    """Return the facts of every operation that is not closed, by name. Reads files."""
    return {
        facts.name: facts
        for product in PRODUCTS
        for facts in description.load(product).operations
        if access_of(facts) != "closed"
    }


def operation_named(name: str) -> OperationFacts:
    """Return the facts of an operation; ``books.`` may be left out.

    Raises `ConfigurationError` for a name that is unknown or closed.
    """
    known = operations()
    wanted = name.strip().lower()
    for each in (wanted, f"books.{wanted}"):
        if each in known:
            return known[each]
    raise ConfigurationError(
        f"no operation for agents is called {name!r}: find its name with search"
    )


def filled_path(facts: OperationFacts, ids: Sequence[str]) -> str:
    """Return the path of an operation with ``ids``.

    Raises `ConfigurationError` for a wrong number of ids, for what is no id, and if the path would
    be that of another operation.
    """
    names = _PLACEHOLDER.findall(facts.path)
    if len(names) != len(ids):
        needed = ", ".join(name.strip("{}") for name in names) or "none"
        raise ConfigurationError(f"{facts.name} takes the ids {needed}; got {len(ids)}")
    for name, value in zip(names, ids, strict=True):
        if name.endswith("_id}") and name not in _FOREIGN_IDS and not _DIGITS.fullmatch(value):
            raise ConfigurationError(f"{name.strip('{}')} must be an id of digits, got {value!r}")
        if name == "{module_name}" and not _CUSTOM_MODULE.fullmatch(value):
            raise ConfigurationError(f"{value!r} is no custom module: their names begin with cm_")
    try:
        path = path_of(facts.path, ids)
    except (TypeError, ValueError) as wrong:
        raise ConfigurationError(str(wrong)) from None
    if _template_of(facts, path) != _without_names(facts.path):
        raise ConfigurationError(f"{path} is the path of another operation: check the ids")
    return path


def check_query(facts: OperationFacts, names: Iterable[str]) -> None:
    """Raise `ConfigurationError` for a parameter that is not described, or not for agents."""
    taken = parameters_of(facts)
    for name in names:
        if name not in taken and not (facts.answer == "list" and _is_custom(name)):
            known = ", ".join(sorted(taken)) or "no parameters"
            raise ConfigurationError(f"{facts.name} does not take {name!r}; it takes {known}")


def check_required(facts: OperationFacts, names: Collection[str]) -> None:
    """Raise `ConfigurationError` if a required parameter is missing."""
    missing = [one.name for one in facts.query if one.required and one.name not in names]
    if missing:
        raise ConfigurationError(f"{facts.name} needs the parameter {missing[0]}")


def parameters_of(facts: OperationFacts) -> frozenset[str]:
    """Return the names of the parameters that a model can give."""
    described = {name for one in facts.query for name in (one.name, *one.variants)}
    always = _OF_LISTS if facts.answer == "list" and facts.paged else frozenset[str]()
    return frozenset((described | always) - _CLOSED_PARAMETERS)


def _is_custom(name: str) -> bool:
    """Whether a parameter filters by a custom field."""
    return bool(re.fullmatch(r"(?:cf_|custom_field_)\w+", name))


def _template_of(facts: OperationFacts, path: str) -> str:
    """The template that Zoho takes ``path`` for: of those that fit, the most literal one."""
    fitting = [each for each in _templates(facts.product, facts.method) if _fits(each, path)]
    return min(fitting, key=_by_literals)


@functools.cache
def _templates(product: str, method: str) -> frozenset[str]:
    """The paths of a product's operations, without the names of their ids."""
    described: Iterable[OperationFacts] = description.load(product).operations
    return frozenset(
        _without_names(path)
        for facts in described
        if facts.method == method
        for path in (facts.path, *facts.alternatives)
    )


def _without_names(template: str) -> str:
    return _PLACEHOLDER.sub("{}", template)


def _fits(template: str, path: str) -> bool:
    parts, segments = template.split("/"), path.split("/")
    return len(parts) == len(segments) and all(
        part in ("{}", segment.lower()) for part, segment in zip(parts, segments, strict=True)
    )


def _by_literals(template: str) -> tuple[bool, ...]:
    return tuple(part == "{}" for part in template.split("/"))
