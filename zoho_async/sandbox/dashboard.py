"""The page at ``/``: records, calls, limits and faults, live, without a script.

The page is server-rendered HTML that reloads itself every two seconds. ``?still`` stops the reload.
The list of operations is only on the still page, because a reload closes what is open. Requests for
the page do not count as API calls.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from aiohttp import web

from zoho_async.sandbox.api import organizations
from zoho_async.sandbox.coverage import levels, marks
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.middleware import ACCOUNT, Arrival
from zoho_async.sandbox.simulation.faults import FAULTS, Fault
from zoho_async.sandbox.simulation.rate_limits import UsageCounter

if TYPE_CHECKING:
    from zoho_async.sandbox.server import Sandbox

PATHS: Final = frozenset({"/", "/favicon.ico"})
_REFRESH_SECONDS: Final = 2
_LAST_CALLS: Final = 15
#: With more organizations than this, those with calls are shown, then the first ones.
_MOST_ORGANIZATIONS: Final = 12
_LONGEST_QUERY: Final = 90
_SECTIONS: Final = {
    "clients": "Point a client here",
    "limits": "Limits",
    "faults": "Faults",
    "last": "Calls",
    "webhooks": "Webhooks",
    "records": "Records",
    "coverage": "Operations",
}
_STATUS_CLASSES: Final = {"success": "fine", "failure": "bad", "skipped": "bad"}
_CODE: Final = re.compile("`([^`]+)`")
_STYLE: Final = """
:root{color-scheme:light dark;--line:#8885;--soft:#8881;--bad:#b3261e;--fine:#1a7f37}
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80;--fine:#7ee787}}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:74rem;padding:1rem 1.5rem 4rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .3rem}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem}a{color:inherit}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption{text-align:left;padding:.2rem 0;opacity:.75}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);
vertical-align:top}
td{font-variant-numeric:tabular-nums}code{overflow-wrap:break-word}
.w{white-space:nowrap}small{opacity:.75}
code,pre{font:13px ui-monospace,monospace}
pre{background:var(--soft);padding:.7rem 1rem;overflow-x:auto}
meter{width:5rem;vertical-align:middle}
@media(max-width:40rem){
body{padding:.5rem .8rem 3rem}thead{display:none}
tr{display:flex;flex-wrap:wrap;gap:0 1rem;border-bottom:1px solid var(--line);padding:.3rem 0}
table,tbody,caption{display:block}td{border:0;padding:0;max-width:100%}td:empty{display:none}
td code{overflow-wrap:anywhere}
td+td::before{content:attr(data-head)": ";opacity:.75}
}
.bad{color:var(--bad);font-weight:600}.fine{color:var(--fine)}
"""


def answer(box: Sandbox, request: web.BaseRequest) -> web.Response:
    """Answer with the page, or with 204 for the icon."""
    if request.path != "/":
        return web.Response(status=204)
    text = render(box, still="still" in request.query)
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


def render(box: Sandbox, *, still: bool) -> str:
    """Render the page as HTML."""
    refresh = "" if still else f'<meta http-equiv=refresh content="{_REFRESH_SECONDS}">'
    way = "<a href=/>resume live view</a>" if still else "<a href='/?still'>stop reloading</a>"
    at = time.strftime("%H:%M:%S")
    links = "".join(f"<a href=#{name}>{title}</a>" for name, title in _SECTIONS.items())
    parts = (
        "<h1>Zoho sandbox</h1><p>A local Zoho Books, Invoice, Billing and Inventory with sample "
        f"records. URL <code>{escape(box.url)}</code>, seed {box.seed}, as of {at} ({way}).</p>"
        f"<nav>{links}</nav>",
        _summary(box),
        _environment(box),
        _limits(box),
        _faults(box),
        _calls(box, "last", "Calls", box.arrivals),
        _calls(box, "unknown", "Unknown requests", box.unknown) if box.unknown else "",
        _webhooks(box),
        _records(box),
        _coverage(still=still),
    )
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8>{refresh}"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>Zoho sandbox: {box.calls} calls</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )


def _summary(box: Sandbox) -> str:
    answers = Counter(_status(arrival) for arrival in box.arrivals)
    text = ", ".join(f"{count} x {escape(status)}" for status, count in answers.most_common(8))
    refused = f"<span class={'bad' if box.refused else 'fine'}>{box.refused} refused</span>"
    unknown = f"<span class={'bad' if box.unknown else 'fine'}>{len(box.unknown)} unknown</span>"
    tokens = f"{box.token_requests} token request{'' if box.token_requests == 1 else 's'}"
    return (
        f"<p id=calls><strong>{box.calls} calls</strong>, {refused}, {unknown}, {tokens}"
        f"{': ' if text else ''}{text}</p>"
    )


def _limits(box: Sandbox) -> str:
    now, rules = box.clock.now(), box.limits
    rows: list[tuple[str, ...]] = []
    stores = _visible_stores(box)
    for store in stores:
        name = store.world.organization
        label = f"{escape(name)}<br><small>{escape(organizations.name_of(store))}</small>"
        rows.append(_usage(box, label, box.rate_limiter.usage(name, now)))
    own = set(box.organizations)
    for name in [each for each in box.rate_limiter.accounts if each not in own][
        :_MOST_ORGANIZATIONS
    ]:
        label = "no organization<br><small>limits of the account</small>"
        label = (
            label
            if name == ACCOUNT
            else f"{escape(name)}<br><small>not an organization of this user</small>"
        )
        rows.append(_usage(box, label, box.rate_limiter.usage(name, now)))
    speed = f", {box.clock.speed:g} sandbox seconds per real second" if box.clock.speed != 1 else ""
    held = ", held" if box.clock.held else ""
    more = f"; {len(own) - len(stores)} more organizations" if len(own) > len(stores) else ""
    return _table(
        "limits",
        "Limits",
        f"{rules.window.title()} minute of {rules.minute:g} s{speed}{held}{more}",
        ("Organization", "This minute", "In flight", "Today", "Block"),
        rows,
    )


def _visible_stores(box: Sandbox) -> list[Store]:
    """Return the stores that the page shows, in their order."""
    called = [each for each in box.stores if each.world.organization in box.rate_limiter.accounts]
    chosen = {id(each) for each in [*called, *box.stores][:_MOST_ORGANIZATIONS]}
    return [each for each in box.stores if id(each) in chosen]


def _usage(box: Sandbox, label: str, usage: UsageCounter) -> tuple[str, ...]:
    rules = box.limits
    blocked = usage.blocked_for
    return (
        label,
        _meter("this minute", usage.minute, rules.per_minute),
        _meter("in flight", usage.in_flight, rules.in_flight),
        "<br>".join(
            [
                _meter("today", usage.day, rules.per_day),
                *(
                    f"{escape(name)} {_meter(f'{name} today', used, rules.product_days[name])}"
                    for name, used in usage.product_days.items()
                    if name in rules.product_days
                ),
            ]
        ),
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
        example = f"""curl -d '{{"kind": "status", "status": 503}}' {box.url}/__sandbox__/faults"""
        return (
            "<h2 id=faults>Faults</h2><p>None. To make the next call fail, for example:</p>"
            f"<pre>{escape(example)}</pre>"
        )
    rows = [
        (
            f"<code>{escape(fault.kind)}</code>",
            _CODE.sub(r"<code>\1</code>", escape(FAULTS[fault.kind].effect)),
            f"<code>{_any(fault.method, 'method')} {_any(fault.path, 'path')}</code>",
            f"{fault.probability:.0%}",
            f"{fault.hits:,} of {_times(fault)}",
            f"{fault.seen:,}",
        )
        for fault in box.faults
    ]
    heads = ("Kind", "Effect", "Requests", "Probability", "Affected", "Matched")
    return _table(
        "faults", "Faults", "In order: the first rule that matches a call applies", heads, rows
    )


def _times(fault: Fault) -> str:
    return "any" if fault.times is None else f"{fault.times:,}"


def _any(pattern: str, what: str) -> str:
    return f"any {what}" if pattern == "*" else escape(pattern)


def _calls(box: Sandbox, name: str, title: str, arrivals: Sequence[Arrival]) -> str:
    if not arrivals:
        nothing = "None yet. <a href=#clients>Point a client here</a> to see its calls."
        return f"<h2 id={name}>{escape(title)}</h2><p>{nothing}</p>"
    now = box.clock.now()
    newest = arrivals[: -_LAST_CALLS - 1 : -1]
    rows = [
        (
            f"<span class='w {'fine' if 0 < each.status < 400 else 'bad'}'>"
            f"{escape(_status(each))}</span>",
            f"<code>{escape(each.method)} {escape(each.path)}</code>{_query(each)}",
            f"<span class=w>{max(0.0, now - each.time):,.0f} s ago</span>",
            escape(each.organization or ""),
            escape(each.fault),
        )
        for each in newest
    ]
    caption = f"Newest first, {len(newest):,} of {len(arrivals):,}"
    heads = ("Answer", "Request", "When", "Organization", "Fault")
    return _table(name, title, caption, heads, rows)


def _query(arrival: Arrival) -> str:
    """Render a call's query without the organization, which has its own column."""
    asked = {name: each for name, each in arrival.query.items() if name != "organization_id"}
    text = urlencode(asked, safe=":,/")
    short = text if len(text) <= _LONGEST_QUERY else f"{text[:_LONGEST_QUERY]}…"
    return f"<br><code><small>?{escape(short)}</small></code>" if asked else ""


def _status(arrival: Arrival) -> str:
    if not arrival.status:
        return "no answer"
    code = f", code {arrival.code}" if arrival.code else ""
    return f"HTTP {arrival.status}{code}"


def _webhooks(box: Sandbox) -> str:
    log = box.deliveries.log
    if not log:
        return (
            "<h2 id=webhooks>Webhooks</h2><p>None was sent yet. A webhook is sent when a record "
            "changes that a workflow rule is about.</p>"
        )
    counts = Counter(each.status for each in log)
    now = box.clock.now()
    newest = list(itertools.islice(reversed(log), _LAST_CALLS))
    rows = [
        (
            f"<span class='w {_STATUS_CLASSES.get(each.status, '')}'>{each.status}</span>",
            f"<code>{escape(each.module)} {escape(each.record_id)}</code> {escape(each.event)}"
            f"{' (duplicate)' if each.is_duplicate else ''}",
            f"<code>{escape(each.url[:_LONGEST_QUERY])}</code>",
            f"<span class=w>{max(0.0, now - each.time):,.0f} s ago</span>",
            str(each.tries),
            escape(each.problem),
        )
        for each in newest
    ]
    total = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
    caption = f"Newest first, {len(newest):,} of {len(log):,}: {total}"
    heads = ("Status", "Change", "Address", "When", "Tries", "Problem")
    return _table("webhooks", "Webhooks", caption, heads, rows)


def _records(box: Sandbox) -> str:
    stores = _visible_stores(box)
    names = sorted({name for store in stores for name in store.collections})
    counts = {
        name: [
            len(store.collections[name].indexes()) if name in store.collections else None
            for store in stores
        ]
        for name in names
    }
    rows = [
        (f"<code>{escape(name)}</code>", *("" if n is None else f"{n:,}" for n in each))
        for name, each in counts.items()
        if any(each)
    ]
    empty = len(counts) - len(rows)
    caption = "Lists used so far; the others are created at their first use"
    caption += f"; {empty} are empty" if empty else ""
    heads = ("List", *(store.world.organization for store in stores))
    return _table("records", "Records", caption, heads, rows)


def _coverage(*, still: bool) -> str:
    """Render the level and the mark of each operation, by product and resource."""
    known, marked = levels(), marks()
    counts, by_mark = Counter(known.values()), Counter(marked.values())
    text = (
        f"<h2 id=coverage>Operations</h2><p>All {len(known):,} are simulated. "
        f"{counts[1]:,} of level 1: the call is validated and its changes are kept. "
        f"{counts[2]:,} of level 2: the module's rules apply too, such as totals, balances and "
        "statuses that follow from payments.</p>"
        f"<p>Evidence: {by_mark['recorded']:,} are recorded (<b>r</b>, as the live service "
        f"answered), {by_mark['documented']:,} documented (<b>d</b>, as Zoho's specification says) "
        f"and {by_mark['assumed']:,} assumed (<b>a</b>, as other products or clients suggest).</p>"
    )
    if not still:
        return f"{text}<p><a href='/?still#coverage'>See each operation's level</a></p>"
    resources: dict[str, dict[str, list[tuple[str, int, str]]]] = {}
    for name, mark in sorted(marked.items()):
        resource, _, verb = name.rpartition(".")
        product = resource.partition(".")[0]
        row = (verb, known.get(name, 1), mark)
        resources.setdefault(product, {}).setdefault(resource, []).append(row)
    return text + "".join(
        f"<h3>{escape(product.title())}</h3>{''.join(map(_resource_levels, of, of.values()))}"
        for product, of in resources.items()
    )


def _resource_levels(name: str, verbs: Sequence[tuple[str, int, str]]) -> str:
    ruled = sum(level == 2 for _, level, _ in verbs)
    rules = f", {ruled} of level 2" if ruled else ""
    text = ", ".join(
        f"{escape(verb)}&nbsp;<b title={mark}>{level}{mark[0]}</b>" for verb, level, mark in verbs
    )
    plural = "" if len(verbs) == 1 else "s"
    return (
        f"<details><summary><code>{escape(name)}</code>: {len(verbs)} operation{plural}{rules}"
        f"</summary><p>{text}</p></details>"
    )


def _environment(box: Sandbox) -> str:
    lines = "\n".join(f"export {name}={value}" for name, value in box.environment().items())
    return (
        "<h2 id=clients>Point a client here</h2><p><code>Session.from_env()</code> reads these "
        f"variables. Give other clients the same values.</p><pre>{escape(lines)}</pre>"
    )


def _table(
    name: str, title: str, caption: str, heads: Iterable[str], rows: Iterable[Iterable[str]]
) -> str:
    """Render a table. The cells are already HTML."""
    names = [escape(each) for each in heads]
    head = "".join(f"<th scope=col>{each}</th>" for each in names)
    cells = ("".join(map(_cell, names, row)) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return (
        f"<h2 id={name}>{escape(title)}</h2><div class=scroll tabindex=0 role=region "
        f"aria-labelledby={name}><table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(head: str, cell: str) -> str:
    """Render a cell. On narrow screens it shows its own heading."""
    return f'<td data-head="{head}">{cell}</td>'
