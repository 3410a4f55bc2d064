"""The request of a report, and the check that the reply answers it.

Model
-----
Zoho ignores the dates of a report unless ``filter_by=<Field>.CustomDate`` goes with them, and then
answers with the report's own default period, without an error. So dates are always sent with their
filter, and every reply is compared with its request.

Invariant
---------
A reply with another period, basis or rule than requested raises `ReportMismatch`. No number of it
is returned.

Why it holds
------------
Rows are decoded only from the body that `checked` returns, for each page of each report.

- A value of ``page_context`` that differs from the request is a mismatch.
- The period is confirmed if the reply repeats the filter, or all requested dates. The basis and the
  rule are confirmed if the reply repeats them.
- What the reply does not confirm is a mismatch as well, unless the caller sets
  ``allow_unconfirmed``. ``show_rows`` is an exception, because it selects no other numbers: it is
  compared only if the reply has it.

Unknown
-------
Which values each report repeats. Profit and loss was recorded with all of them. If a report never
confirms its dates, ``allow_unconfirmed=True`` reads it anyway, and its result names what is not
confirmed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

import msgspec

from zoho_async.description import Confidence
from zoho_async.errors import ReportMismatch
from zoho_async.operation import ListOperation
from zoho_async.reports.periods import Period, check_order
from zoho_async.wire import Unreadable, encode
from zoho_async.wire.record import CONTEXT
from zoho_async.wire.reply_source import ENVELOPE
from zoho_async.wire.text import is_array, is_blank, is_object, untyped, untyped_object

T = TypeVar("T")

Basis: TypeAlias = Literal["accrual", "cash"]
ShowRows: TypeAlias = Literal["all", "non_zero"]
#: Zoho's names of periods relative to today.
NamedPeriod: TypeAlias = Literal[
    "Today",
    "ThisWeek",
    "ThisMonth",
    "ThisQuarter",
    "ThisYear",
    "PreviousDay",
    "PreviousWeek",
    "PreviousMonth",
    "PreviousQuarter",
    "PreviousYear",
]
#: ``range`` takes two dates, ``day`` the day of the report; ``none``: the report takes no dates.
Dates: TypeAlias = Literal["range", "day", "none"]


#: The parameters that are arguments, so that replies can be compared with them.
_ARGUMENTS: Final = frozenset({"from_date", "to_date", "cash_based", "show_rows", "rule"})


class ReportOperation(ListOperation[T], Generic[T], frozen=True, kw_only=True):
    """A report: a list with a period.

    ``date_filter`` is the field that ``filter_by`` names before the period, ``filter_suffix`` what
    follows it. ``other_keys`` are other envelope keys that may hold the rows; without ``key`` the
    only array or object of the reply has them. ``groups`` are the keys under which elements hold
    the rows. ``tree`` says that the report has sections instead of rows. ``confidence`` is
    that of `description.Endpoint`, ``unknown`` a sentence about what is not known.
    """

    title: str
    dates: Dates = "range"
    date_filter: str = ""
    filter_suffix: str = ""
    other_keys: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tree: bool = False
    confidence: Confidence = ""
    unknown: str = ""

    @property
    def checks_filters(self) -> bool:
        return True


class ReportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments that every report understands."""

    from_date: dt.date | None = None
    to_date: dt.date | None = None
    period: NamedPeriod | None = None
    basis: Basis | None = None
    show_rows: ShowRows | None = None
    rule: Mapping[str, object] | None = None
    allow_unconfirmed: bool = False


class ReportRequest(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One call of a report. ``query`` is sent; the reply is compared with ``options``."""

    operation: ReportOperation[T]
    options: ReportOptions
    query: Mapping[str, object]

    @property
    def filter_by(self) -> str:
        """The period part of the filter, or ""."""
        return str(self.query.get("filter_by", "")).partition(",")[0]


def report_request(
    operation: ReportOperation[T], options: ReportOptions, query: Mapping[str, object | None]
) -> ReportRequest[T]:
    """Build the request of a report. ``query`` are further parameters.

    Raises `ValueError` for dates that the report does not take or that contradict each other.
    """
    _check_dates(operation, options)
    taken = sorted(_ARGUMENTS & query.keys())
    if taken:
        raise ValueError(f"{taken[0]} is an argument; leave it out of extra_query")
    period = "CustomDate" if options.to_date is not None else options.period
    filter_by = f"{operation.date_filter}.{period}{operation.filter_suffix}"
    own: dict[str, object | None] = {
        "from_date": options.from_date,
        "to_date": options.to_date,
        "filter_by": filter_by if period and operation.date_filter else None,
        "cash_based": None if options.basis is None else options.basis == "cash",
        "show_rows": options.show_rows,
        "rule": None if options.rule is None else encode(options.rule).decode(),
    }
    both = {**own, **query}
    sent = {name: _json_text(value) for name, value in both.items() if value is not None}
    return ReportRequest(operation=operation, options=options, query=sent)


def _json_text(value: object) -> object:
    """Columns and groupings as the JSON text that Zoho takes."""
    if isinstance(value, list | tuple):
        elements = cast(Sequence[object], value)
        if elements and isinstance(elements[0], Mapping):
            return encode(list(elements)).decode()
        return elements
    return value


def _check_dates(operation: ReportOperation[Any], options: ReportOptions) -> None:
    first, last = options.from_date, options.to_date
    given = first is not None or last is not None
    if options.period is not None and given:
        raise ValueError("give dates or a period, not both")
    if options.period is not None and not operation.date_filter:
        raise ValueError(f"{operation.name} takes no period")
    if given and operation.dates == "none":
        raise ValueError(f"{operation.name} takes no dates")
    if operation.dates == "day" and first is not None:
        raise ValueError(
            f"{operation.name} is as of one day: give to_date alone, or periods with from_date"
        )
    if operation.dates == "range" and (first is None) != (last is None):
        raise ValueError(f"{operation.name} needs from_date and to_date together")
    if first is not None and last is not None:
        check_order(first, last)


# -- the reply ----------------------------------------------------------------------------------


class CheckedReply(msgspec.Struct, frozen=True):
    """The ``body`` of a reply as a list of rows, and its ``page_context``, empty for none."""

    body: bytes
    context: Mapping[str, Any]


def checked(request: ReportRequest[Any], body: bytes) -> CheckedReply:
    """Return the reply ``body`` as a list of rows, after comparing it with ``request``.

    Raises `ReportMismatch` if it answers another request, `Unreadable` if it is not a report.
    """
    reply = untyped_object(body)
    key = _key_of_rows(request.operation, reply)
    context = reply.get(CONTEXT)
    if key is None and not is_object(context):
        raise Unreadable(f"the reply has neither {request.operation.key!r} nor {CONTEXT!r}")
    found = context if is_object(context) else {}
    missing = unconfirmed(request, found)
    if missing and not request.options.allow_unconfirmed:
        raise ReportMismatch(request.operation.name, _asked(request, missing), {})
    rows = body if key is None else _as_rows(request.operation, reply, key, body)
    return CheckedReply(rows, found)


def _as_rows(
    operation: ReportOperation[Any], reply: Mapping[str, Any], key: str, body: bytes
) -> bytes:
    """The ``reply`` with its rows in a list under the operation's key. ``body`` if they are."""
    rows = [reply[key]] if is_object(reply[key]) else reply[key]
    if not is_array(rows):
        return body
    if operation.groups:
        rows = list(_rows_in(rows, operation.groups))
    if rows is reply[key] and key == operation.key:
        return body
    others = {name: value for name, value in reply.items() if name != key}
    return encode({**others, operation.key: rows})


def _key_of_rows(operation: ReportOperation[Any], reply: Mapping[str, Any]) -> str | None:
    known = (operation.key, *operation.other_keys)
    for key in known:
        if key in reply:
            return key
    others = [
        name
        for name, value in reply.items()
        if name not in ENVELOPE and name != CONTEXT and (is_array(value) or is_object(value))
    ]
    return others[0] if len(others) == 1 else None


def _rows_in(elements: list[Any], groups: tuple[str, ...]) -> Iterator[Any]:
    """The rows inside groups, at any depth. An element with an id is a row, not an empty group."""
    for element in elements:
        inner = _inner(element, groups)
        if inner is None or (not inner and not is_blank(element.get("id"))):
            yield element
        else:
            yield from _rows_in(inner, groups)


def _inner(element: Any, groups: tuple[str, ...]) -> list[Any] | None:
    if not is_object(element):
        return None
    found = [element[name] for name in groups if is_array(element.get(name))]
    return cast(list[Any], found[0]) if found else None


def unconfirmed(request: ReportRequest[Any], context: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters of ``request`` that the reply's ``context`` does not confirm.

    Raises `ReportMismatch` if it contradicts one.
    """
    sent = {name: _text(value) for name, value in _sent(request, context).items()}
    received = {name: _value_in(context, name) for name in sent}
    differing = {
        name: received[name] or ""
        for name, value in sent.items()
        if received[name] is not None and not _is_same(name, value, received[name] or "")
    }
    if differing:
        asked = {name: sent[name] for name in differing}
        raise ReportMismatch(request.operation.name, asked, differing)
    missing = [name for name in sent if received[name] is None and name != "show_rows"]
    dates = [name for name in sent if name.endswith("_date")]
    if "applied_filter" in sent and "applied_filter" not in missing:
        missing = [name for name in missing if name not in dates]
    elif dates and not set(dates) & set(missing):
        missing = [name for name in missing if name != "applied_filter"]
    return tuple(missing)


_BASES: Final = {True: "cash", False: "accrual", "true": "cash", "false": "accrual"}


def _sent(request: ReportRequest[Any], context: Mapping[str, Any]) -> dict[str, object]:
    """What the request fixes, by the names that ``page_context`` uses."""
    options = request.options
    as_of = request.operation.dates == "day" and not is_blank(context.get("as_of_date"))
    sent: dict[str, object | None] = {
        "applied_filter": request.filter_by or None,
        "from_date": options.from_date,
        "as_of_date" if as_of else "to_date": options.to_date,
        "report_basis": options.basis,
        "show_rows": options.show_rows,
        "rule": None if options.rule is None else encode(options.rule).decode(),
    }
    return {name: value for name, value in sent.items() if value is not None}


def _asked(request: ReportRequest[Any], names: tuple[str, ...]) -> dict[str, str]:
    sent = _sent(request, {})
    return {name: _text(sent[name]) for name in names if name in sent}


def _value_in(context: Mapping[str, Any], name: str) -> str | None:
    """The value of ``page_context`` as text; None if it is absent or blank."""
    value = context.get(name)
    if name == "report_basis" and is_blank(value):
        return _BASES.get(context.get("cash_based", ""))
    if name == "rule" and value in ({}, []):
        return None
    if name.endswith("_date") and _date(value) is None:  # a display format confirms nothing
        return None
    return None if is_blank(value) else _text(value)


def basis_of(context: Mapping[str, Any]) -> str | None:
    """The basis that a ``page_context`` names, in lower case; None if it names none."""
    found = _value_in(context, "report_basis")
    return None if found is None else found.casefold()


def _text(value: object) -> str:
    return value if isinstance(value, str) else encode(value).decode().strip('"')


def _is_same(name: str, sent: str, received: str) -> bool:
    match name:
        case "applied_filter":
            return sent in received.split(",")
        case "report_basis":
            return sent.casefold() == received.casefold()
        case "rule":
            return _conditions(sent) == _conditions(received)
        case _:
            return sent == received


def _conditions(rule: str) -> object:
    """The columns of a rule, without the numbers that Zoho may add or write in another way."""
    try:
        value = untyped(rule.encode())
    except Unreadable:
        return rule
    columns = value.get("columns") if is_object(value) else value
    if not is_array(columns):
        return rule
    return sorted(
        (
            _text(each.get("field", "")),
            _text(each.get("comparator", "")),
            sorted(map(_text, each["value"]))
            if is_array(each.get("value"))
            else [_text(each.get("value", ""))],
        )
        for each in columns
        if is_object(each)
    )


def period_of(request: ReportRequest[Any], context: Mapping[str, Any]) -> Period:
    """The period of a reply: what was asked for, otherwise what ``page_context`` names."""
    options = request.options
    if options.to_date is not None:
        return Period(options.from_date, options.to_date)
    as_of = _date(context.get("as_of_date"))
    if as_of is not None:
        return Period(None, as_of)
    return Period(_date(context.get("from_date")), _date(context.get("to_date")))


def _date(value: object) -> dt.date | None:
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
