"""Rules for what goes wrong, for which requests, and how often.

Model
    A rule applies to requests whose method, path and organization match. It lets ``after`` of them
    pass, then affects the next ``times`` (None: all that follow), each with ``probability``. It
    ends ``lasts`` seconds after its first match. The first rule that affects a request is the only
    one.

A fault acts at one of three moments, which decides what a client may conclude: before the request
counts, instead of the work (it did not happen), or after the work (it happened, but the client
cannot know). `FAULTS` has the moment of each kind. `fault_effects` changes the replies.
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
    "no_total",
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
    """When a kind of fault acts, and its effect."""

    when: When
    effect: str


FAULTS: Final[dict[FaultKind, FaultInfo]] = {
    "drop_unread": FaultInfo("before", "the connection closes before the request counts"),
    "drop_undone": FaultInfo("instead", "the connection closes, no work was done"),
    "drop": FaultInfo("after", "the connection closes without a reply"),
    "reset_undone": FaultInfo("instead", "the connection is reset, no work was done"),
    "reset": FaultInfo("after", "the connection is reset without a reply"),
    "broken_body": FaultInfo("after", "half of the body arrives, then the connection closes"),
    "silent": FaultInfo("after", "no reply for `seconds`, then the connection closes"),
    "slow": FaultInfo("after", "the body takes `seconds` to arrive"),
    "endless": FaultInfo("after", "the body never ends"),
    "status": FaultInfo(
        "instead", "HTTP `status` (500) with code 1000 in JSON and, if set, `retry_after`"
    ),
    "status_html": FaultInfo("instead", "HTTP `status` (502) with an HTML page"),
    "status_done": FaultInfo("after", "as `status`, after the work"),
    "status_html_done": FaultInfo("after", "as `status_html`, after the work"),
    "code": FaultInfo("instead", "HTTP `status` (200) with Zoho's `code` and `message`"),
    "refuse": FaultInfo("instead", "HTTP `status` (429) with `code` and, if set, `retry_after`"),
    "redirect": FaultInfo("instead", "HTTP 302 to `location`"),
    "empty": FaultInfo("after", "HTTP 200 without a body"),
    "cut": FaultInfo("after", "HTTP 200 with the first half of the body"),
    "html": FaultInfo("after", "HTTP 200 with an HTML page"),
    "wrong_type": FaultInfo(
        "after", "the reply's content is `value` (`field` `*`: the whole reply)"
    ),
    "wrong_content_type": FaultInfo("after", "the correct body as `content_type` (text/plain)"),
    "bad_gzip": FaultInfo("after", "a body that is declared as gzip but is not"),
    "cut_gzip": FaultInfo("after", "the first two thirds of the body in gzip"),
    "byte_order_mark": FaultInfo("after", "the correct body after a byte order mark"),
    "no_content": FaultInfo("after", "HTTP 204 without a body"),
    "stray": FaultInfo("after", "the correct reply, then a second reply without a request"),
    "odd": FaultInfo("after", "`field` is `value` in every row or record of the reply"),
    "last_page": FaultInfo("after", "`has_more_page` is false"),
    "always_more": FaultInfo("after", "`has_more_page` is true"),
    "no_total": FaultInfo("after", "`page_context` has no count of the list"),
    "repeat_rows": FaultInfo("after", "the first `rows` rows of the page repeat at its end"),
    "shifted_rows": FaultInfo(
        "after", "the page begins with the last `rows` rows of the previous one"
    ),
    "dead_token": FaultInfo("instead", "the access token ends early (401, code 57)"),
    "unknown_token": FaultInfo("instead", "the access token is unknown (401, code 14)"),
    "revoked_grant": FaultInfo("instead", "the refresh token and its access tokens are revoked"),
    "wrong_region": FaultInfo("instead", "reply of another data center: HTML, or `invalid_client`"),
    "denied_grant": FaultInfo("instead", "HTTP 200 with the error `message` (invalid_code)"),
    "throttled_grant": FaultInfo("instead", "HTTP 400 Access Denied: too many token requests"),
}

#: Kinds that reply or close the connection instead of doing the work.
INSTEAD: Final[frozenset[str]] = frozenset(
    kind for kind, about in FAULTS.items() if about.when == "instead"
)


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule for what goes wrong. Raises `ValueError` for an unknown kind.

    `FAULTS` says which fields each ``kind`` uses.

    Attributes:
        kind: what goes wrong.
        path: glob for the URL's path. ``*`` matches the API only; ``/oauth/*`` matches the
            accounts server.
        method: HTTP method, or ``*``.
        organization: id of the organization that the request names, or ``*``.
        after: matching requests that pass first.
        times: requests to affect after those; None affects all.
        probability: chance that a request is affected.
        lasts: seconds from the first match until the rule ends; None: it does not end.
        status: HTTP status; 0 is the kind's default.
        code: Zoho's code in the reply.
        message: Zoho's message in the reply; "" is the kind's default.
        retry_after: seconds in the ``Retry-After`` header; None sends no header.
        location: target of a redirect.
        rows: number of rows that repeat or move.
        seconds: duration of a delay.
        field: name of the field to change.
        value: value to put there.
        content_type: content type to send.
        seen: requests that matched.
        hits: requests that were affected.
        began: time of the first match, by the sandbox's clock.
    """

    kind: FaultKind
    path: str = "*"
    method: str = "*"
    organization: str = "*"
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
    began: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"kind must be one of {', '.join(FAULTS)}, got {self.kind!r}")

    def wants(
        self, method: str, path: str, organization: str | None, now: float, chance: random.Random
    ) -> bool:
        """Return whether the rule affects this request, and count it."""
        if self.method not in ("*", method) or not fnmatch.fnmatchcase(path, self.path):
            return False
        if self.organization not in ("*", organization):
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
        """Return ``code`` as a number for `Arrival.code`, or None if it is a word."""
        return int(self.code) if str(self.code).isdecimal() else None


class Faults:
    """The active rules, and the seeded random source that they share."""

    def __init__(self, rules: list[Fault], seed: int) -> None:
        self.rules = rules
        self._chance = random.Random(seed)

    def pick(self, method: str, path: str, organization: str | None, now: float) -> Fault | None:
        """Return the rule that affects this request, or None. Call once per request."""
        for rule in self.rules:
            if rule.wants(method, path, organization, now, self._chance):
                return rule
        return None


def read_rules(toml: str) -> list[Fault]:
    """Parse ``[[fault]]`` tables with the fields of `Fault`. ``times = "always"`` means None.

    Raises `ConfigurationError` if the text is not valid TOML or a rule is wrong.
    """
    import tomllib

    try:
        tables = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"fault rules are not valid TOML: {error}") from None
    if set(tables) - {"fault"} or not isinstance(tables.get("fault", []), list):
        raise ConfigurationError("fault rules must be [[fault]] tables and nothing else")
    return [_rule(number, table) for number, table in enumerate(tables.get("fault", []), 1)]


def _rule(number: int, found: Any) -> Fault:
    if not isinstance(found, dict):
        raise ConfigurationError(f"fault {number} must be a table, got {found!r}")
    table = cast(dict[str, Any], found)  # TOML keys are strings
    if table.get("kind") not in get_args(FaultKind):
        raise ConfigurationError(
            f"fault {number}: kind must be one of {', '.join(FAULTS)}, got {table.get('kind')!r}"
        )
    if table.get("times") == "always":
        table["times"] = None
    describe(Fault)
    try:
        return msgspec.convert(table, Fault)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"fault {number}: {error}") from None


def describe_rules(rules: Sequence[Fault]) -> list[dict[str, Any]]:
    """Return rules as ``/__sandbox__/faults`` shows them, without fields at their default."""
    defaults = msgspec.structs.asdict(Fault(kind="drop"))
    always = ("kind", "path", "method", "times", "seen", "hits")
    return [
        {
            name: value
            for name, value in msgspec.structs.asdict(rule).items()
            if name != "began" and (name in always or value != defaults[name])
        }
        for rule in rules
    ]
