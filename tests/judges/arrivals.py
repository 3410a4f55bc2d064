"""A judge of arrivals: the most calls that an organization got in one window.

Run as a program it is a process that no client can kill, stop or fork::

    with ArrivalJudge(latency=0.05) as judge:
        ...  # clients call judge.url
        verdict = judge.report("10234695", window=4.0)
        assert verdict.worst <= limit

Model: each API request has two moments, that of its first byte and that of its last one. A limit of
n in a window of w seconds holds if no half-open window [a, a + w) holds more than n moments of
either kind. The worst window is found exactly: it can be moved until it begins at an arrival.

The judge has no clock but ``time.monotonic``, and no opinion about who may call. With ``limit`` it
also refuses, as Zoho does: 429 with code 44 for what exceeds the limit in a rolling window.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__:
    from tests.judges.raw_http import Reply, Request, Server, is_token_request, token_reply
else:  # as a program, from any directory
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.judges.raw_http import Reply, Request, Server, is_token_request, token_reply

CONTROL = "/__judge__"


def worst_window(moments: Iterable[float], window: float) -> int:
    """The most moments in any half-open window of ``window`` seconds."""
    ordered = sorted(moments)
    worst = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= window:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


def most_in_flight(calls: Iterable[tuple[float, float]]) -> int:
    """The most calls in flight at a time. A call that ends at a moment no longer counts then."""
    edges = sorted(edge for begin, end in calls for edge in ((begin, 1), (max(begin, end), -1)))
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


@dataclass(frozen=True)
class Verdict:
    """The calls that one organization got. Moments are seconds of ``time.monotonic``."""

    first_bytes: tuple[float, ...]
    last_bytes: tuple[float, ...]
    refused: int
    in_flight: int
    window: float

    @property
    def calls(self) -> int:
        return len(self.last_bytes)

    @property
    def worst(self) -> int:
        """The most arrivals in any window, by first or by last bytes."""
        return max(
            worst_window(self.first_bytes, self.window), worst_window(self.last_bytes, self.window)
        )

    def since(self, moment: float) -> int:
        """The calls that arrived at ``moment`` or later."""
        return sum(last >= moment for last in self.last_bytes)


class Arrivals:
    """The judge: answers requests and records their moments.

    ``organization`` is the one meant by requests that name none. ``rows`` is how many contacts
    each list holds.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        limit: int | None = None,
        window: float = 60.0,
        block: float = 60.0,
        organization: str = "",
    ) -> None:
        self._latency = latency
        self._limit = limit
        self._window = window
        self._block = block
        self._organization = organization
        self._first: dict[str, list[float]] = {}
        self._last: dict[str, list[float]] = {}
        self._at_work: dict[str, list[tuple[float, float]]] = {}
        self._refused: dict[str, int] = {}
        self._server = Server(self.answer)

    @property
    def server(self) -> Server:
        return self._server

    async def answer(self, request: Request) -> Reply:
        if request.path == CONTROL:
            return self._control(request)
        if is_token_request(request):
            return token_reply()
        name = request.organization or self._organization
        self._first.setdefault(name, []).append(request.first_byte)
        arrived = self._last.setdefault(name, [])
        arrived.append(request.last_byte)
        recent = sum(request.last_byte - one < self._window for one in arrived)
        at_work = self._at_work.setdefault(name, [])
        place = len(at_work)
        at_work.append((request.last_byte, float("inf")))
        await asyncio.sleep(self._latency)
        at_work[place] = (request.last_byte, time.monotonic())
        if self._limit is not None and recent > self._limit:
            self._refused[name] = self._refused.get(name, 0) + 1
            return Reply(
                429,
                {"code": 44, "message": "The organization has been blocked."},
                {"Retry-After": f"{self._block:g}"},
                time.time(),
            )
        return Reply(
            body={
                "code": 0,
                "message": "success",
                "contacts": [],
                "page_context": {"page": 1, "per_page": 200, "has_more_page": False},
            },
            date=time.time(),
        )

    def _control(self, request: Request) -> Reply:
        if request.method == "POST":
            settings = json.loads(request.body)
            self._latency = settings.get("latency", self._latency)
            self._limit = settings.get("limit", self._limit)
        return Reply(
            body={
                name: {
                    "first": self._first[name],
                    "last": self._last[name],
                    "refused": self._refused.get(name, 0),
                    "in_flight": most_in_flight(
                        (begin, min(end, time.monotonic())) for begin, end in self._at_work[name]
                    ),
                }
                for name in self._first
            }
        )


class ArrivalJudge:
    """`Arrivals` in a process that ends with the ``with`` block."""

    def __init__(
        self,
        *,
        latency: float = 0.0,
        limit: int | None = None,
        window: float = 60.0,
        organization: str = "",
    ) -> None:
        self._arguments = ["--latency", str(latency), "--window", str(window)]
        self._arguments += ["--organization", organization]
        if limit is not None:
            self._arguments += ["--limit", str(limit)]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> ArrivalJudge:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.communicate(timeout=60)  # the end of its stdin ends it

    def environment(self, organization: str) -> dict[str, str]:
        """The environment variables that point a client here."""
        return {
            "ZOHO_CLIENT_ID": "1000.JUDGE",
            "ZOHO_CLIENT_SECRET": "secret",
            "ZOHO_REFRESH_TOKEN": "1000.refresh",
            "ZOHO_ORGANIZATION_ID": organization,
            "ZOHO_REGION": "us",
            "ZOHO_BASE_URL": self.url,
            "ZOHO_ACCOUNTS_URL": self.url,
        }

    def report(self, organization: str, *, window: float) -> Verdict:
        """The calls of ``organization`` so far, judged by windows of ``window`` seconds."""
        found = self._ask(None).get(
            organization, {"first": [], "last": [], "refused": 0, "in_flight": 0}
        )
        return Verdict(
            tuple(found["first"]),
            tuple(found["last"]),
            found["refused"],
            found["in_flight"],
            window,
        )

    def organizations(self) -> tuple[str, ...]:
        """The organizations that were called."""
        return tuple(self._ask(None))

    def change(self, **settings: float | None) -> None:
        """Change ``latency`` or ``limit`` from now on."""
        self._ask(settings)

    def _ask(self, settings: dict[str, float | None] | None) -> dict[str, Any]:
        body = None if settings is None else json.dumps(settings).encode()
        with urllib.request.urlopen(self.url + CONTROL, data=body, timeout=60) as reply:
            answered: dict[str, Any] = json.load(reply)
        return answered


def main() -> None:
    """Serve until stdin ends; the first line of stdout is the URL."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--window", type=float, default=60.0)
    parser.add_argument("--organization", default="")
    given = parser.parse_args()
    judge = Arrivals(
        latency=given.latency,
        limit=given.limit,
        window=given.window,
        organization=given.organization,
    )
    with judge.server as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
