"""The other workers at a key, and when this one writes its endings.

A worker that has *company* at a key listens to it. Those that wait for the same moment ask at
random times after it, and a worker that waits for replies asks the others to write theirs.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

from zoho_async.limits.redis.connection import RedisConnection, Settings
from zoho_async.limits.redis.script import REQUEST, ScriptReply

#: How long an ending waits for the next admission if half of the calls in flight are open, in
#: seconds. Longer than it takes to read a page.
SOON: Final = 0.25
#: How long other workers count as active at a key after their last change, in seconds.
COMPANY: Final = 20.0
#: The waiters of a key ask within so many seconds per worker that waits there, and at most 1 s.
APART: Final = 0.1


class KeyCompany:
    """What one worker knows of the other workers."""

    def __init__(self, settings: Settings) -> None:
        self.connection: Final = RedisConnection(settings)
        self._settings: Final = settings
        self._lease: Final = settings.lease
        self._due_at = 0.0
        self._hurry: Final = asyncio.Event()
        self.connection.subscriber.requested = self._requested
        self.connection.subscriber.stagger = lambda key: self._stagger(key, APART)

    def _note_company(self, key: str) -> None:
        """Another worker changed ``key``: listen to it."""
        company = self.connection.company[key]
        company.until = asyncio.get_running_loop().time() + COMPANY
        self.connection.subscriber.keep(key)

    def _note_listeners(self, key: str, reply: ScriptReply) -> None:
        company = self.connection.company[key]
        company.listeners = reply.listeners - self.connection.subscriber.listens(key)
        if company.listeners > 0:
            self._note_company(key)

    def _has_company(self, key: str) -> bool:
        company = self.connection.company.get(key)
        return company is not None and asyncio.get_running_loop().time() < company.until

    def _others_listen(self, key: str) -> bool:
        return self._has_company(key) and self.connection.company[key].listeners > 0

    def _stagger(self, key: str, least: float = 0.0) -> float:
        """Return a random time to wait, so that few of the workers that wait ask in vain.

        On average, it is longer than the time of a script, or ``least``, for each of them.
        """
        if not self._has_company(key):
            return 0.0
        others = max(1, self.connection.company[key].listeners)
        apart = max(least, 4 * (self.connection.last_answered - self.connection.last_asked))
        return random.uniform(0.0, min(1.0, apart * others))

    def _ask_for_endings(self, key: str) -> None:
        """Have the other workers that listen to ``key`` write their endings."""
        company, now = self.connection.company[key], asyncio.get_running_loop().time()
        if self._has_company(key) and now >= company.asked + SOON:
            company.asked = now
            self.connection.run(self.connection.publish(key, REQUEST))

    def _requested(self, key: str) -> None:
        """Another worker waits for replies."""
        self._note_company(key)
        if key in self.connection.pending:
            self._hasten(key, self._stagger(key))

    def _set_due(self, key: str) -> None:
        """Set when to write the pending endings of ``key`` if no admission takes them along."""
        connection = self.connection
        pending = connection.pending.get(key)
        if not pending:
            return
        most = pending[-1][0].limits.in_flight // 2
        few = len(pending) <= most and connection.company[key].in_flight <= most
        self._hasten(key, self._lease / 3 if few else min(SOON, self._lease / 3))

    def _hasten(self, key: str, delay: float) -> None:
        """Write the pending endings of ``key`` within ``delay`` seconds."""
        due = asyncio.get_running_loop().time() + delay
        self.connection.due[key] = due = min(due, self.connection.due.get(key, due))
        if due < self._due_at:
            self._hurry.set()
