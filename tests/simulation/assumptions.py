"""What the simulated Zoho may do: its limits, its lists, its writes and its tokens.

`Assumptions` is part of a plan, so it is plain data. The defaults are an honest Zoho. `draw`
chooses an adversarial one, in which each part departs from honesty with a chance of its own, so
that most worlds have a few adversities and few worlds have all.

What is not drawn is not allowed: the package's documents say that Zoho does not do it.

- A call is refused before it runs. So an answer with Zoho's own code above 0 and HTTP 2xx or 4xx
  means that nothing happened (`docs/howto/errors.md`).
- A record is in its list from its creation to its deletion.
- Refused calls do not run later, and no call runs twice unless it is sent twice.
"""

from __future__ import annotations

import random
from typing import Any, Literal, TypeAlias, get_args

import msgspec

#: When a fault of the server acts: before the work, or after it.
Moment: TypeAlias = Literal["instead", "after"]
Headers: TypeAlias = Literal["honest", "late", "none", "some"]
Failure: TypeAlias = Literal[
    "html", "json", "empty", "cut", "page", "redirect", "silent", "garbled", "code"
]


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """How Zoho counts calls. Times are in seconds.

    ``minute``: "rolling", or "fixed" with its ``phase``. ``block`` is how long a block lasts, and
    ``extends`` whether a call during the block begins it again. ``tells`` says whether a block's
    refusal has a Retry-After. ``day`` is the calls a day, ``day_kind`` whether the day ends at
    midnight of ``zone`` or is rolling, ``per_product`` whether each product has a day.
    ``in_flight`` is the most open calls.

    ``headers``: "honest", "late" (they show the figures of ``lag`` calls before), "none", or
    "some" (half of the replies have none). ``short``: the reset in the header is a second short.
    ``refused_count``: refused calls count in the minute too.

    ``status`` and ``as_text`` are the HTTP status of refusals and whether their code is text.
    ``code`` is the code of a block, 43 or 44.
    """

    minute: Literal["rolling", "fixed"] = "rolling"
    phase: float = 0.0
    limit: int = 100
    block: float = 900.0
    extends: bool = False
    tells: bool = True
    code: Literal[43, 44] = 44
    day: int = 10_000
    day_kind: Literal["midnight", "rolling"] = "midnight"
    zone: str = "Europe/Berlin"
    per_product: bool = False
    in_flight: int = 10
    headers: Headers = "honest"
    lag: int = 0
    short: bool = False
    refused_count: bool = False
    status: Literal[200, 400, 429] = 429
    as_text: bool = False


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Other clients of each organization, and people.

    ``steady`` calls a minute come evenly, ``burst`` calls come together every ``every`` seconds,
    ``clicks`` a minute are people's, which the counter in the headers does not show. Clicks come by
    chance, at most ``most_clicks`` in a minute of any kind.
    """

    steady: float = 0.0
    burst: int = 0
    every: float = 300.0
    clicks: float = 0.0
    most_clicks: int = 9


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """How lists behave; the defaults are honest. Chances are per request.

    ``largest_page`` is the most rows on a page. ``ties`` is the order of equal sort values: by id,
    the other way round on page 1, or another one for each request. ``edits`` is the chance of an
    edit of the list before a page of it is made. ``skew`` is how far the clock of the ``Date``
    header is ahead of the one that stamps records.

    ``total``: what a count is. "none": never sent; "unasked": sent always. ``option``: what
    ``response_option`` does. ``more`` is ``has_more_page``. ``ignores`` are parameters that have no
    effect: page, sort, filters. ``empty`` is the chance of a page without its rows, ``bare`` of
    one without rows and their key, ``repeats`` that a page begins with the row before it.
    ``nameless`` rows without an id are on each page. ``times``: rows have their times. ``key``
    renames the list in the envelope ("_": by an underscore), ``noun`` the record. ``context``:
    replies have a page context.
    """

    largest_page: int = 200
    ties: Literal["steady", "flipped", "shuffled"] = "steady"
    edits: float = 0.0
    kinds: tuple[Literal["delete", "insert", "modify"], ...] = ("delete", "insert", "modify")
    skew: float = 0.0
    total: Literal["honest", "none", "unasked", "too big", "too small", "changing"] = "honest"
    option: Literal["honored", "ignored", "refused"] = "honored"
    more: Literal["honest", "always", "never", "random"] = "honest"
    ignores: tuple[Literal["page", "sort", "filters"], ...] = ()
    echoes: bool = True
    empty: float = 0.0
    bare: float = 0.0
    repeats: float = 0.0
    nameless: int = 0
    times: bool = True
    dates: bool = True
    key: str = ""
    noun: str = ""
    context: bool = True


class ServerFault(msgspec.Struct, frozen=True, kw_only=True):
    """A failure of the server with chance ``chance`` per request, before or after the work.

    "html" and "json" are error pages with ``status``; "empty", "cut", "page" and "redirect" are
    answers of success that cannot be read; "silent" answers after ``seconds``; "code" refuses the
    call with HTTP 400 and code 1000, which says that nothing was done.
    """

    kind: Failure
    chance: float
    moment: Moment = "after"
    status: int = 500
    seconds: float = 0.0
    writes: bool = True
    reads: bool = True


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the accounts server does. ``lives`` is the life of an access token in seconds.

    ``early`` is the chance per request that its token is dead before its time. ``live`` is the
    number of live tokens, ``per_period`` the tokens in ten minutes. ``status`` and ``code`` are
    those of a dead token. ``fails`` is the chance that the accounts server answers 503.
    """

    lives: float = 3600.0
    early: float = 0.0
    live: int = 15
    per_period: int = 10
    status: Literal[200, 401] = 401
    code: Literal[14, 57] = 57
    fails: float = 0.0
    revoked_at: float | None = None


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one simulated Zoho does. ``latency`` is the range of seconds that replies take.

    ``slow`` is the chance that a reply takes up to ``slowest`` seconds.
    """

    quotas: Quotas = Quotas()
    crowd: Crowd = Crowd()
    lists: Manners = Manners()
    faults: tuple[ServerFault, ...] = ()
    tokens: TokenRules = TokenRules()
    latency: tuple[float, float] = (0.05, 0.4)
    slow: float = 0.0
    slowest: float = 20.0

    @property
    def is_quiet(self) -> bool:
        """Whether nobody else calls."""
        crowd = self.crowd
        return not (crowd.steady or crowd.burst or crowd.clicks)


# -- drawing ----------------------------------------------------------------------------------

ZONES = ("America/New_York", "Europe/Berlin", "Australia/Sydney")


def draw(chance: random.Random) -> Assumptions:
    """Draw an adversarial Zoho. All its departures are within what the documents allow."""
    return Assumptions(
        quotas=draw_quotas(chance),
        crowd=draw_crowd(chance),
        lists=draw_manners(chance),
        faults=draw_faults(chance),
        tokens=draw_tokens(chance),
        latency=chance.choice(((0.01, 0.1), (0.05, 0.4), (0.3, 2.0))),
        slow=chance.choice((0.0, 0.0, 0.01, 0.05)),
    )


def draw_quotas(chance: random.Random) -> Quotas:
    shown: tuple[Headers, ...] = ("honest", "honest", "honest", "late", "none", "some")
    headers = chance.choice(shown)
    return Quotas(
        minute=chance.choice(("rolling", "fixed")),
        phase=chance.uniform(0.0, 60.0),
        block=chance.choice((900.0, 900.0, 1800.0, 3600.0)),
        extends=chance.random() < 0.3,
        tells=chance.random() < 0.5,
        code=chance.choice((43, 44)),
        day=chance.choice((300, 1_000, 2_000, 5_000, 10_000, 10_000)),
        day_kind=chance.choice(("midnight", "midnight", "midnight", "rolling")),
        zone=chance.choice(ZONES),
        per_product=chance.random() < 0.3,
        in_flight=chance.choice((5, 10, 10, 10)),
        headers=headers,
        lag=chance.randint(1, 5) if headers == "late" else 0,
        short=chance.random() < 0.5,
        refused_count=chance.random() < 0.5,
        status=chance.choice((429, 429, 400, 200)),
        as_text=chance.random() < 0.2,
    )


def draw_crowd(chance: random.Random) -> Crowd:
    if chance.random() < 0.6:
        return Crowd()
    return Crowd(
        steady=chance.choice((0.0, 5.0, 20.0, 40.0)),
        burst=chance.choice((0, 0, 10, 30, 60)),
        clicks=chance.choice((0.0, 0.0, 3.0, 8.0)),
    )


def draw_manners(chance: random.Random) -> Manners:
    """Half of all lists are honest but for their order and edits."""
    usual: dict[str, Any] = {
        "largest_page": chance.choice((3, 7, 10, 25, 50, 200)),
        "ties": chance.choice(("steady", "flipped", "shuffled")),
        "edits": chance.choice((0.0, 0.0, 0.1, 0.5)),
        "kinds": chance.choice(
            (("delete", "insert", "modify"), ("delete",), ("insert",), ("modify",))
        ),
        "skew": chance.choice((0.0, 0.0, -4.0, 4.0)),
        "total": chance.choice(("honest", "honest", "unasked", "none")),
        "option": chance.choice(("honored", "honored", "honored", "ignored")),
    }
    if chance.random() < 0.5:
        return msgspec.convert(usual, Manners)
    return msgspec.convert(
        usual
        | {
            "total": chance.choice(
                ("honest", "none", "unasked", "too big", "too small", "changing")
            ),
            "option": chance.choice(("honored", "ignored", "refused")),
            "more": chance.choice(("honest", "honest", "always", "never", "random")),
            "ignores": tuple(one for one in ("page", "sort", "filters") if chance.random() < 0.15),
            "echoes": chance.random() < 0.8,
            "empty": chance.choice((0.0, 0.0, 0.05)),
            "bare": chance.choice((0.0, 0.0, 0.05)),
            "repeats": chance.choice((0.0, 0.0, 0.3)),
            "nameless": chance.choice((0, 0, 0, 1)),
            "times": chance.random() < 0.8,
            "dates": chance.random() < 0.9,
            "key": chance.choice(("", "", "", "", "", "", "_", "_", "renamed_list")),
            "noun": chance.choice(("", "", "", "", "renamed_record")),
            "context": chance.random() < 0.95,
        },
        Manners,
    )


def draw_faults(chance: random.Random) -> tuple[ServerFault, ...]:
    if chance.random() < 0.5:
        return ()
    return tuple(_fault(chance) for _ in range(chance.randint(1, 3)))


def _fault(chance: random.Random) -> ServerFault:
    kind: Failure = chance.choice(get_args(Failure))
    statuses = {
        "html": (502, 503, 504, 500, 404, 408, 499, 521),
        "json": (500, 503, 408),
        "silent": (200,),
    }.get(kind, (200,))
    status = chance.choice(statuses)
    # These say that the request did not reach Zoho, or was refused (docs/faults.md).
    undone = status == 521 or kind == "code"
    moment: Moment = "instead" if undone else chance.choice(get_args(Moment))
    if kind == "silent":
        moment = "after"  # a success without the work would be a lie
    return ServerFault(
        kind=kind,
        chance=chance.choice((0.01, 0.05, 0.2)),
        moment=moment,
        status=status,
        seconds=chance.choice((5.0, 40.0, 200.0)) if kind == "silent" else 0.0,
    )


def draw_tokens(chance: random.Random) -> TokenRules:
    return TokenRules(
        lives=chance.choice((3600.0, 3600.0, 3600.0, 600.0)),
        early=chance.choice((0.0, 0.0, 0.002, 0.01)),
        live=chance.choice((10, 15)),
        status=chance.choice((401, 401, 200)),
        code=chance.choice((14, 57)),
        fails=chance.choice((0.0, 0.0, 0.2)),
    )
