"""The page at ``/``: what the sandbox has and what happens to it, live, without a script.

Server-rendered HTML that asks to be fetched again every two seconds; ``?still`` does not, for
reading in peace (and for those whom a page that moves disturbs). Looking at it counts as no call.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Final

from aiohttp import web

from zoho_async.sandbox.faults import FAULTS
from zoho_async.sandbox.limits import Usage
from zoho_async.sandbox.requests import ACCOUNT, Arrival
from zoho_async.sandbox.tiers import tiers

if TYPE_CHECKING:
    from zoho_async.sandbox.server import Sandbox

PATHS: Final = frozenset({"/", "/favicon.ico"})
_EVERY: Final = 2
_LAST_CALLS: Final = 15
_CODE: Final = re.compile("`([^`]+)`")
_STYLE: Final = """
:root{color-scheme:light dark;--line:#8885;--soft:#8881;--bad:#b3261e;--fine:#1a7f37}
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80;--fine:#7ee787}}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:74rem;padding:1rem 1.5rem 4rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption{text-align:left;padding:.2rem 0;opacity:.75}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line)}
.n{text-align:right;font-variant-numeric:tabular-nums}
code,pre{font:13px ui-monospace,monospace}
pre{background:var(--soft);padding:.7rem 1rem;overflow-x:auto}
meter{width:7rem;vertical-align:middle}
.bad{color:var(--bad);font-weight:600}.fine{color:var(--fine)}
"""


def answer(box: Sandbox, request: web.BaseRequest) -> web.Response:
    """The page (and nothing where a browser asks for an icon)."""
    if request.path != "/":
        return web.Response(status=204)
    text = render(box, still="still" in request.query)
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


def render(box: Sandbox, *, still: bool) -> str:
    """The whole page as HTML."""
    refresh = "" if still else f'<meta http-equiv=refresh content="{_EVERY}">'
    way = "<a href=/>live</a>" if still else "<a href='/?still'>stop the refreshing</a>"
    at = time.strftime("%H:%M:%S")
    parts = (
        f"<h1>Zoho sandbox</h1><p>{escape(box.url)}, seed {box.seed}, as of {at} · {way}</p>",
        _summary(box),
        _limits(box),
        _faults(box),
        _calls("Last calls", box.arrivals[: -_LAST_CALLS - 1 : -1]),
        _calls("Unknown requests", box.unknown[: -_LAST_CALLS - 1 : -1]) if box.unknown else "",
        _records(box),
        _tiers(),
        _environment(box),
    )
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8>{refresh}"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>Zoho sandbox: {box.calls} calls</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )


def _summary(box: Sandbox) -> str:
    answers = Counter(_status(arrival) for arrival in box.arrivals)
    told = ", ".join(f"{count} x {escape(status)}" for status, count in answers.most_common(8))
    refused = f"<span class={'bad' if box.refused else 'fine'}>{box.refused} refused</span>"
    unknown = f"<span class={'bad' if box.unknown else 'fine'}>{len(box.unknown)} unknown</span>"
    return (
        f"<p id=calls><strong>{box.calls} calls</strong>, {refused}, {unknown}, "
        f"{box.token_requests} token requests{': ' if told else ''}{told}</p>"
    )


def _limits(box: Sandbox) -> str:
    now, rules = box.clock.now(), box.limits
    own = box.organizations
    names = [*own, *(name for name in box.judge.accounts if name not in own)]
    rows = [_usage(box, name, box.judge.usage(name, now)) for name in names]
    speed = f", {box.clock.speed:g} of its seconds in one of yours" if box.clock.speed != 1 else ""
    held = ", held" if box.clock.held else ""
    return _table(
        "limits",
        "Limits",
        f"A {rules.window} minute of {rules.minute:g} s{speed}{held}",
        ("Organization", "This minute", "In flight", "Today", "Block"),
        rows,
    )


def _usage(box: Sandbox, name: str, usage: Usage) -> tuple[str, ...]:
    rules = box.limits
    blocked = usage.blocked_for
    return (
        "the account (no organization named)" if name == ACCOUNT else escape(name),
        _meter("this minute", usage.minute, rules.per_minute),
        _meter("in flight", usage.in_flight, rules.in_flight),
        _meter("today", usage.day, rules.per_day),
        f"<span class=bad>{blocked:.0f} s</span>" if blocked else "none",
    )


def _meter(what: str, used: int, limit: int) -> str:
    label = escape(f"{what}: {used} of {limit}")
    high = max(1, limit * 9 // 10)
    return (
        f'<meter aria-label="{label}" min=0 max={max(1, limit)} high={high} value={used}></meter> '
        f"{used:,} of {limit:,}"
    )


def _faults(box: Sandbox) -> str:
    if not box.faults:
        return "<h2 id=faults>Faults</h2><p>None. POST one to <code>/__sandbox__/faults</code>.</p>"
    rows = [
        (
            f"<code>{escape(fault.kind)}</code>",
            _CODE.sub(r"<code>\1</code>", escape(FAULTS[fault.kind].does)),
            f"<code>{escape(fault.method)} {escape(fault.path)}</code>",
            f"{fault.probability:.0%}",
            f"{fault.hits:,} of {'any' if fault.times is None else f'{fault.times:,}'}",
            f"{fault.seen:,}",
        )
        for fault in box.faults
    ]
    heads = ("Kind", "What goes wrong", "Where", "Chance", "Spoilt", "Seen")
    return _table(
        "faults", "Faults", "In their order: the first that wants a call has it", heads, rows
    )


def _calls(title: str, arrivals: Iterable[Arrival]) -> str:
    rows = [
        (
            f"<code>{escape(each.method)} {escape(each.path)}</code>",
            escape(each.organization or ""),
            f"<span class={'fine' if 0 < each.status < 400 else 'bad'}>"
            f"{escape(_status(each))}</span>",
            escape(each.fault),
        )
        for each in arrivals
    ]
    heads = ("Request", "Organization", "Answer", "Fault")
    return _table(title.partition(" ")[0].lower(), title, "The newest first", heads, rows)


def _status(arrival: Arrival) -> str:
    if not arrival.status:
        return "no answer"
    code = f", code {arrival.code}" if arrival.code else ""
    return f"HTTP {arrival.status}{code}"


def _records(box: Sandbox) -> str:
    counts = {
        name: [len(store.collection(name).indexes()) for store in box.stores]
        for name in box.stores[0].collections
    }
    rows = [
        (f"<code>{escape(name)}</code>", *(f"{count:,}" for count in each))
        for name, each in counts.items()
        if any(each)
    ]
    empty = len(counts) - len(rows)
    caption = f"By organization; {empty} more lists are empty" if empty else "By organization"
    return _table("records", "Records", caption, ("List", *box.organizations), rows)


def _tiers() -> str:
    """Each operation's tier, by resource."""
    known = tiers()
    resources: dict[str, list[str]] = {}
    for name, tier in sorted(known.items()):
        resource, _, verb = name.rpartition(".")
        resources.setdefault(resource, []).append(f"{escape(verb)}&nbsp;<b>{tier}</b>")
    counts = Counter(known.values())
    told = ", ".join(f"{count:,} of tier {tier}" for tier, count in sorted(counts.items()))
    body = "".join(
        f"<details><summary><code>{escape(resource)}</code>: {len(verbs)} operations</summary>"
        f"<p>{', '.join(verbs)}</p></details>"
        for resource, verbs in resources.items()
    )
    return (
        f"<h2 id=tiers>Operations</h2><p>{told}. Tier 1: routing, validation, fields in a store; "
        f"tier 2: with the rules of the module.</p>{body}"
    )


def _environment(box: Sandbox) -> str:
    lines = "\n".join(f"export {name}={value}" for name, value in box.environment().items())
    return f"<h2 id=clients>Point a client here</h2><pre>{escape(lines)}</pre>"


def _table(
    name: str, title: str, caption: str, heads: Iterable[str], rows: Iterable[Iterable[str]]
) -> str:
    """A table whose cells are HTML already."""
    head = "".join(f"<th scope=col>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f"<h2 id={name}>{escape(title)}</h2><div class=scroll tabindex=0 role=region "
        f"aria-labelledby={name}><table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
