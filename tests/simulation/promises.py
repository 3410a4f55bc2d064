"""The promises of the package that the simulation judges, each with its bound.

A promise is one that the package's documents make; ``source`` says where. ``holds_if`` names the
assumptions under which it is judged, and ``otherwise`` what the package says or does instead. A
judge may not demand more, and a promise that is never checked in a run is reported as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise. ``id`` is what violations and figures name."""

    id: str
    sentence: str
    holds_if: str
    otherwise: str
    source: str


PROMISES: Final = {
    one.id: one
    for one in (
        Promise(
            "P1 minute",
            "In any 60 seconds, at most Limits.limit calls of one ledger arrive at Zoho.",
            "a request arrives within Limits.linger of being sent, and the network makes no second "
            "one of it; workers that share limits share a ledger; Redis and its share keep their "
            "own conditions (docs/howto/limits.md)",
            "a request that is on its way for longer than Limits.linger may be one too many",
            "zoho_async.limits, Invariant",
        ),
        Promise(
            "P1 in flight",
            "At most Limits.in_flight calls of one ledger that get their replies are open at once.",
            "always; calls without a reply are not counted, because it is unknown if Zoho "
            "still works on them",
            "one call too many is a 1070: a pause and a smaller limit",
            "zoho_async.limits.usage, zoho_async.limits.concurrency",
        ),
        Promise(
            "P1 day",
            "In each day of Zoho, at most Limits.day calls of one ledger arrive.",
            "the day ends at midnight, and the ledger knows its end: by Limits.time_zone, or by a "
            "header of each day",
            "without either, 24 hours are counted, and a spent day is probed once an hour",
            "docs/howto/limits.md, zoho_async.limits.daily_quota",
        ),
        Promise(
            "P1 tokens",
            "At most ten access tokens are asked for with one refresh token in ten minutes.",
            "workers share a token store, or there is one worker",
            "TokenThrottled",
            "zoho_async.auth.lease",
        ),
        Promise(
            "P1 fork",
            "A forked child sends nothing with its parent's session or ledger in memory.",
            "always",
            "UsedAfterFork",
            "zoho_async.fork",
        ),
        Promise(
            "P2 no block",
            "No block begins with Zoho's limit less Limits.limit calls of others, or fewer, in the "
            "minute.",
            "as P1 minute",
            "with more calls of others, a block is possible (zoho_async.limits.others)",
            "docs/limits.md",
        ),
        Promise(
            "P2 silence",
            "After the first refusal with 43 or 44 came, nothing is sent until Zoho's Retry-After, "
            "or for 15 minutes without one.",
            "calls that were sent before may still arrive, within Limits.linger",
            "nothing",
            "zoho_async.limits.block",
        ),
        Promise(
            "P3 once",
            "A loop returns each id once, and no id and no value that Zoho did not have.",
            "always; raw_pages() keeps repeated rows",
            "nothing",
            "docs/howto/read.md",
        ),
        Promise(
            "P3 proven",
            "A list that is proven has every record that was there at one moment of its reading.",
            "a count is not too small; without a count, no page lacks its rows; the clocks of "
            "replies and rows differ by less than 10 s; rows show when they were created",
            "changed, short or uncheckable; IncompleteList with strict",
            "zoho_async.paging.completeness, docs/howto/completeness.md",
        ),
        Promise(
            "P3 whole",
            "A list that does not change and has a steady order is read whole.",
            "pages and their numbers are respected, and one sign of the end is right: "
            "has_more_page, the empty page after the end, or the count",
            "an error, or a state that is not proven",
            "zoho_async.paging.plan, Invariant 1",
        ),
        Promise(
            "P3 honest",
            "A list that does not change, with a right count and times, is proven.",
            "as P3 whole, and its records have not changed for a minute",
            "nothing: a state that is never proven would be worthless",
            "docs/howto/completeness.md",
        ),
        Promise(
            "P3 export",
            "The destination of a proven list holds each record that was there at one moment of "
            "the run once, and no record that never was.",
            "as P3 proven",
            "a state that is not proven, in the summary; the bookmark stays",
            "docs/howto/completeness.md",
        ),
        Promise(
            "P3 files",
            "A file of the package holds its old content or its new one, whole, after any end of "
            "a process or of the machine.",
            "the disk keeps what it reported as synced",
            "nothing",
            "zoho_async.files, Invariant",
        ),
        Promise(
            "P4 once",
            "A write is carried out at most once.",
            "retry_writes is off, it is no upsert, and the network makes no second request of one",
            "AmbiguousWrite: once or not at all",
            "docs/faults.md, docs/howto/errors.md",
        ),
        Promise(
            "P4 truth",
            "A write that returned happened, and one that raised anything but AmbiguousWrite did "
            "not.",
            "Zoho refuses a call before it carries it out, and no reply that was not asked for "
            "comes while a call waits on the same connection",
            "AmbiguousWrite",
            "docs/howto/errors.md, zoho_async.http.connection",
        ),
        Promise(
            "P4 import",
            "Each row of an import is one record at most, and rows that the summary calls created "
            "are there.",
            "the rows carry a token that records keep, and new records are shown within the wait",
            "the row is unknown, and exit code 4",
            "docs/howto/import.md",
        ),
        Promise(
            "P5",
            "Everything ends: no call, list, export or import waits forever.",
            "a drawn world ends its faults at some time, or the call has a longest wait",
            "an error of the package",
            "docs/howto/errors.md",
        ),
        Promise(
            "P5 errors",
            "Whatever a call raises is a ZohoError.",
            "always",
            "nothing",
            "docs/howto/errors.md",
        ),
        Promise(
            "P6",
            "Afterwards no slot, connection, task or file stays in use.",
            "the worker ended without being killed, and closed its session",
            "a killed worker's places are abandoned",
            "docs/faults.md",
        ),
        Promise(
            "P6 secrets",
            "No error, event or log line shows a token or a secret.",
            "always",
            "nothing",
            "docs/howto/errors.md",
        ),
    )
}
