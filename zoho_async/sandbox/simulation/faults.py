"""Faults on request: what goes wrong, for which calls, how often.

A rule watches the requests that its method and path match. It lets ``after`` of them pass, spoils
the next ``times`` (None: all that follow) with its ``probability``, and is done, at the latest
``lasts`` seconds after the first that it watched. The first rule that wants a request has it.

What matters most is *when* a fault acts, because that decides what a client may do about it:
before the request counts, instead of the work (it certainly did not happen), or after it (it
happened, and nobody can tell): `FAULTS` says it for each. How they spoil answers is in `spoiling`.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from zoho_async._msgspec import describe
from zoho_async.errors import ConfigurationError

FaultKind: TypeAlias = Literal[
    "drop_unread",
    "drop_undone",
    "drop",
    "reset_undone",
    "reset",
    "broken_body",
    "silent",
    "slow",
    "endless",
    "status",
    "status_html",
    "status_done",
    "status_html_done",
    "code",
    "refuse",
    "redirect",
    "empty",
    "cut",
    "html",
    "wrong_type",
    "wrong_content_type",
    "bad_gzip",
    "cut_gzip",
    "byte_order_mark",
    "no_content",
    "stray",
    "odd",
    "last_page",
    "always_more",
    "repeat_rows",
    "shifted_rows",
    "dead_token",
    "unknown_token",
    "revoked_grant",
    "wrong_region",
    "denied_grant",
    "throttled_grant",
]

_ACCOUNTS: Final = ("/oauth/", "/self-client")

#: When a fault acts: before the request counts, instead of its work, or after it.
When: TypeAlias = Literal["before", "instead", "after"]


class FaultInfo(msgspec.Struct, frozen=True):
    """What a kind of fault does, and when it acts."""

    when: When
    effect: str


FAULTS: Final[dict[FaultKind, FaultInfo]] = {
    "drop_unread": FaultInfo("before", "the connection closes before the request counts"),
    "drop_undone": FaultInfo("instead", "the connection closes, nothing was done"),
    "drop": FaultInfo("after", "the connection closes without an answer"),
    "reset_undone": FaultInfo("instead", "the connection is reset, nothing was done"),
    "reset": FaultInfo("after", "the connection is reset without an answer"),
    "broken_body": FaultInfo("after", "half of the body comes, then the connection closes"),
    "silent": FaultInfo("after", "no answer for `seconds`, then the connection closes"),
    "slow": FaultInfo("after", "the body takes `seconds` to arrive"),
    "endless": FaultInfo("after", "the body never ends"),
    "status": FaultInfo(
        "instead", "HTTP `status` (500) with code 1000 in JSON and, if set, `retry_after`"
    ),
    "status_html": FaultInfo("instead", "HTTP `status` (502) with a page of HTML"),
    "status_done": FaultInfo("after", "as `status`, after the work"),
    "status_html_done": FaultInfo("after", "as `status_html`, after the work"),
    "code": FaultInfo("instead", "HTTP `status` (200) with Zoho's `code` and `message`"),
    "refuse": FaultInfo("instead", "HTTP `status` (429) with `code` and, where set, `retry_after`"),
    "redirect": FaultInfo("instead", "HTTP 302 to `location`"),
    "empty": FaultInfo("after", "HTTP 200 without a body"),
    "cut": FaultInfo("after", "HTTP 200 with the first half of the body"),
    "html": FaultInfo("after", "HTTP 200 with a page of HTML"),
    "wrong_type": FaultInfo(
        "after", "what the answer holds is `value` (`field` `*`: all of it is)"
    ),
    "wrong_content_type": FaultInfo("after", "the right body as `content_type` (text/plain)"),
    "bad_gzip": FaultInfo("after", "a body that claims to be gzip and is not"),
    "cut_gzip": FaultInfo("after", "two thirds of the body, in gzip, which ends there"),
    "byte_order_mark": FaultInfo("after", "the right body after a byte order mark"),
    "no_content": FaultInfo("after", "HTTP 204 without a body"),
    "stray": FaultInfo("after", "the right answer, and then one that was not asked for"),
    "odd": FaultInfo("after", "`field` holds `value` in every row or record of the answer"),
    "last_page": FaultInfo("after", "`has_more_page` is false"),
    "always_more": FaultInfo("after", "`has_more_page` is true"),
    "repeat_rows": FaultInfo("after", "the page's first `rows` rows come again at its end"),
    "shifted_rows": FaultInfo(
        "after", "the page begins with the last `rows` rows of the one before"
    ),
    "dead_token": FaultInfo("instead", "the access token ends before its time (401, code 57)"),
    "unknown_token": FaultInfo("instead", "the access token is not known (401, code 14)"),
    "revoked_grant": FaultInfo("instead", "the refresh token and its access tokens are revoked"),
    "wrong_region": FaultInfo("instead", "as another data center: HTML, or `invalid_client`"),
    "denied_grant": FaultInfo("instead", "HTTP 200 with the error `message` (invalid_code)"),
    "throttled_grant": FaultInfo("instead", "HTTP 400 Access Denied: too many tokens asked for"),
}

#: Faults that answer (or hang up) instead of doing the work.
INSTEAD: Final[frozenset[str]] = frozenset(
    kind for kind, about in FAULTS.items() if about.when == "instead"
)


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule. ``path`` is a glob over the path below the host, ``method`` a method or ``*``.

    The path ``*`` is all of the API; the accounts server is spoilt where it is named, by
    ``/oauth/*``.

    `FAULTS` says what each ``kind`` does with the other fields; ``seconds``, ``lasts`` and
    ``retry_after`` are in seconds.  ``status`` 0 and ``message`` "" are the kind's own. ``seen``
    and ``hits`` count the requests that matched and those that were spoilt. Raises `ValueError` for
    a kind that there is not.
    """

    kind: FaultKind
    path: str = "*"
    method: str = "*"
    after: int = 0
    times: int | None = 1
    probability: float = 1.0
    lasts: float | None = None
    status: int = 0
    code: int | str = 44
    message: str = ""
    retry_after: float | None = None
    location: str = "/"
    rows: int = 1
    seconds: float = 1.0
    field: str = ""
    value: Any = None
    content_type: str = "text/plain"
    seen: int = 0
    hits: int = 0
    #: When the first request matched, by the sandbox's clock.
    began: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(FAULTS)}")

    def wants(self, method: str, path: str, now: float, chance: random.Random) -> bool:
        """Whether this request is one to spoil; counts it."""
        if self.method not in ("*", method) or not fnmatch.fnmatchcase(path, self.path):
            return False
        if self.path == "*" and path.startswith(_ACCOUNTS):
            return False
        self.seen += 1
        if self.began is None:
            self.began = now
        over = self.lasts is not None and now >= self.began + self.lasts
        spent = self.times is not None and self.hits >= self.times
        if over or spent or self.seen <= self.after or chance.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def known_code(self) -> int | None:
        """``code`` as a number, for the books; it goes out as it was given."""
        return int(self.code) if str(self.code).isdecimal() else None


class Faults:
    """The rules in force, and the seeded chance they share."""

    def __init__(self, rules: list[Fault], seed: int) -> None:
        self.rules = rules
        self._chance = random.Random(seed)

    def pick(self, method: str, path: str, now: float) -> Fault | None:
        """The rule that spoils this request, or None. Call once a request."""
        for rule in self.rules:
            if rule.wants(method, path, now, self._chance):
                return rule
        return None


def read_rules(toml: str) -> list[Fault]:
    """The rules of a TOML text: ``[[fault]]`` tables with the fields of `Fault`.

    ``times = "always"`` stands for None. Raises `ConfigurationError` with what is wrong.
    """
    import tomllib

    try:
        tables = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the faults are no TOML: {error}") from None
    if set(tables) - {"fault"} or not isinstance(tables.get("fault", []), list):
        raise ConfigurationError("faults are [[fault]] tables, and nothing else is read")
    return [_rule(number, table) for number, table in enumerate(tables.get("fault", []), 1)]


def _rule(number: int, found: Any) -> Fault:
    if not isinstance(found, dict):
        raise ConfigurationError(f"fault {number} is no table")
    table = cast(dict[str, Any], found)  # TOML's keys are texts
    if table.get("kind") not in get_args(FaultKind):
        raise ConfigurationError(
            f"fault {number}: kind {table.get('kind')!r} is none of {', '.join(FAULTS)}"
        )
    if table.get("times") == "always":
        table["times"] = None
    describe(Fault)
    try:
        return msgspec.convert(table, Fault)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"fault {number}: {error}") from None


def describe_rules(rules: Sequence[Fault]) -> list[dict[str, Any]]:
    """Rules as ``/__sandbox__/faults`` tells them: what is not as usual, and the counts."""
    usual = msgspec.structs.asdict(Fault(kind="drop"))
    said = ("kind", "path", "method", "times", "seen", "hits")
    return [
        {
            name: value
            for name, value in msgspec.structs.asdict(rule).items()
            if name != "began" and (name in said or value != usual[name])
        }
        for rule in rules
    ]
