"""One process of a fleet: many tasks that start together and share a token store.

``python -m tests.support.token_worker STORE LEASE TASKS`` with the sandbox's variables in the
environment. Says that it is ready, waits for a line on stdin, then makes one call a task and says
how many went well.
"""

from __future__ import annotations

import asyncio
import sys

from zoho_async import Session
from zoho_async.auth import FileStore, RedisStore, TokenStore
from zoho_async.limits import Limits, MemoryLedger


def store_at(place: str, lease: float) -> TokenStore:
    """The store that ``place`` names: a URL of Redis, or a file."""
    if "://" in place:
        return RedisStore(place, lease=lease)
    return FileStore(place, lease=lease)


async def main(place: str, lease: float, tasks: int) -> int:
    store = store_at(place, lease)
    limits = Limits(limit=1000, burst=1000, in_flight=100)
    async with Session.from_env(limits=limits, ledger=MemoryLedger(), tokens=store) as zoho:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        calls = (zoho.request("GET", "/items", query={"per_page": 1}) for _ in range(tasks))
        answers = await asyncio.gather(*calls)
    await store.close()
    return sum(answer["code"] == 0 for answer in answers)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))), flush=True)
