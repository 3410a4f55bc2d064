"""What was made or used before `os.fork`, and is used in the child.

Each story runs in a separate process: a fork of the test process would inherit locks that its
threads hold. An alarm ends a story that hangs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

BEGIN = """
    import asyncio, os, signal, sys, threading, time, traceback
    from zoho_async.clock import SYSTEM_CLOCK
    from zoho_async.errors import UsedAfterFork
    from zoho_async.limits import Limits, MemoryLedger, RedisLedger, SqliteLedger
    from zoho_async.limits.usage import Denial, Ending

    signal.alarm(50)
    KEY, ACCOUNT = "api/1", "api/@me"
    LIMITS = Limits(limit=20, burst=20, in_flight=20)

    def in_child(work):
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            try:
                work()
                code = 0
            except BaseException:
                traceback.print_exc()
                code = 1
            if sys.argv[2:] == ["exit"]:
                sys.exit(code)  # as a server's worker does, with all that Python does at its end
            os._exit(code)
        return pid

    def ended(*children):
        for pid in children:
            _, status = os.waitpid(pid, 0)
            assert status == 0, status

    async def take(ledger):
        return await ledger.take(KEY, ACCOUNT, "interactive", LIMITS, SYSTEM_CLOCK)

    async def settle(ledger, place, how="replied"):
        return await ledger.settle(KEY, ACCOUNT, place, Ending(how), LIMITS, SYSTEM_CLOCK)

    async def seen(ledger):
        found = await ledger.snapshot(KEY, ACCOUNT, LIMITS, SYSTEM_CLOCK)
        return found.minute_used, found.in_flight

    async def fill(ledger):
        "Calls until there is no place; how many there were."
        made = 0
        while not isinstance(place := await take(ledger), Denial):
            await settle(ledger, place)
            made += 1
        return made
"""


def run(story: str, *arguments: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",  # a fork with threads is what this is about
            "-c",
            textwrap.dedent(BEGIN) + textwrap.dedent(story),
            *arguments,
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "end"), [("file", "at once"), ("file", "exit"), ("redis", "at once")]
)
def test_a_ledger_used_before_a_fork_is_shared_by_parent_and_children(
    tmp_path: Path, kind: str, end: str
) -> None:
    story = """
        import sqlite3
        where = sys.argv[1]
        ledger = RedisLedger(where) if ":" in where else SqliteLedger(where)

        async def before():
            return await take(ledger), await take(ledger)

        # A loop that is open at the fork must not be closed by a child, not even at its end.
        loop = None if sys.argv[2] == "exit" else asyncio.new_event_loop()
        step = loop.run_until_complete if loop else asyncio.run
        first, second = step(before())
        step(settle(ledger, second))

        def child():
            async def work():
                for _ in range(5):
                    await settle(ledger, await take(ledger))
                await ledger.close()
            asyncio.run(work())

        for _ in range(3):
            ended(in_child(child))
        # Without its loop, what is open counts as lost, and what ended later counts once more.
        assert step(seen(ledger)) == ((17, 1) if loop else (18, 2))
        if loop:
            step(settle(ledger, first))
        assert step(fill(ledger)) == (3 if loop else 2)
        step(ledger.close())
        if loop:
            loop.close()
        if ":" not in where:
            file = sqlite3.connect(where)
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            file.close()
    """
    if kind == "file":
        run(story, str(tmp_path / "limits.db"), end)
    else:
        with RedisServer() as server:
            run(story, server.url, end)


def test_a_fork_in_the_middle_of_other_threads_transactions_hangs_nothing(tmp_path: Path) -> None:
    story = """
        ledger = SqliteLedger(sys.argv[1])
        stop = threading.Event()

        def busy():
            async def work():
                while not stop.is_set():
                    place = await take(ledger)
                    if not isinstance(place, Denial):
                        await settle(ledger, place, "unsent")
            asyncio.run(work())

        thread = threading.Thread(target=busy)
        thread.start()

        def child():
            async def work():
                place = await take(ledger)
                assert not isinstance(place, Denial), place
                await settle(ledger, place, "unsent")
                await ledger.close()
            asyncio.run(work())

        for _ in range(25):
            ended(in_child(child))
        stop.set()
        thread.join()
        assert asyncio.run(seen(ledger)) == (0, 0)
        asyncio.run(ledger.close())
    """
    run(story, str(tmp_path / "limits.db"))


def test_a_database_inherited_without_pythons_knowledge_is_neither_used_nor_closed(
    tmp_path: Path,
) -> None:
    """A server in C forks without calling what Python would call."""
    story = """
        import ctypes
        ledger = SqliteLedger(sys.argv[1])
        asyncio.run(take(ledger))
        inherited = ledger._file._database._connection
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            signal.alarm(20)
            assert ledger._file.take(KEY, ACCOUNT, "interactive", LIMITS, time.monotonic(),
                                     time.time()) == 2
            assert ledger._file._database._connection is not inherited
            inherited.execute("SELECT 1")  # it was not closed
            os._exit(0)
        ended(pid)
        assert asyncio.run(seen(ledger))[0] == 2
        asyncio.run(ledger.close())
    """
    run(story, str(tmp_path / "limits.db"))


def test_a_ledger_in_memory_that_was_used_before_a_fork_raises_in_the_child() -> None:
    story = """
        used, unused = MemoryLedger(), MemoryLedger()
        place = asyncio.run(take(used))

        def child():
            for work in (lambda: take(used), lambda: settle(used, place), lambda: seen(used)):
                try:
                    asyncio.run(work())
                except UsedAfterFork as error:
                    assert "SqliteLedger" in str(error) and "post_fork" in str(error)
                else:
                    raise AssertionError("it counts apart")
            assert asyncio.run(take(unused)) == 1

        ended(in_child(child))
        assert asyncio.run(take(used)) == 2
    """
    run(story)


@pytest.mark.parametrize("end", ["at once", "exit"])
def test_a_session_made_before_a_fork_raises_in_the_child(end: str) -> None:
    story = """
        from zoho_async import Session
        from zoho_async.auth import Credentials
        from zoho_async.limits import MemoryLedger
        from zoho_async.sandbox import Sandbox

        loop = asyncio.new_event_loop()

        async def opened():
            sandbox = await Sandbox().__aenter__()
            zoho = Session(
                Credentials.from_env(sandbox.environment()), organization=sandbox.organization,
                api_url=sandbox.url, accounts_url=sandbox.accounts_url, ledger=MemoryLedger(),
            )
            await zoho.request("GET", "/contacts")
            return sandbox, zoho

        sandbox, zoho = loop.run_until_complete(opened())
        fresh = Session(Credentials("a", "b", "c"), organization=1, ledger=MemoryLedger())

        def child():
            async def work(session):
                try:
                    await session.request("GET", "/contacts")
                except UsedAfterFork as error:
                    assert "the session" in str(error) and "post_fork" in str(error)
                else:
                    raise AssertionError("it shares its parent's sockets")
                await session.aclose()
            asyncio.run(work(zoho))
            asyncio.run(work(fresh))

        ended(in_child(child))
        loop.run_until_complete(zoho.request("GET", "/contacts"))  # its connection still works
        loop.run_until_complete(zoho.aclose())
        loop.run_until_complete(sandbox.__aexit__(None, None, None))
        loop.close()
    """
    run(story, "-", end)


@pytest.mark.parametrize("kind", ["file", "keyring", "redis", "memory"])
def test_a_token_store_used_before_a_fork_works_in_the_child(tmp_path: Path, kind: str) -> None:
    story = """
        from zoho_async.auth import FileStore, KeyringStore, MemoryStore, RedisStore, lease
        from zoho_async.auth.reply import AccessToken
        where = sys.argv[1]

        class Ring:
            priority, kept = 1, {}
            def get_password(self, service, name): return self.kept.get(name)
            def set_password(self, service, name, value): self.kept[name] = value

        def made():
            if where == "memory":
                return MemoryStore()
            if ":" in where:
                return RedisStore(where)
            if where.endswith("ring"):
                import types
                sys.modules["keyring"] = types.SimpleNamespace(get_keyring=Ring)
                return KeyringStore(where)
            return FileStore(where)

        store = made()
        loop = asyncio.new_event_loop()

        def turns(shared, now):
            return lease.acquire(shared, now, holder="parent", lease=100.0)

        def kept(shared, now):
            token = AccessToken("value", 3600.0)
            lease.complete(shared, now, holder="parent", token=token, took=0.0)

        def held(shared, now):
            return lease.usable_token(shared, now).token.value

        assert isinstance(loop.run_until_complete(store.change("key", turns)), lease.LeaseGranted)
        loop.run_until_complete(store.change("key", kept))

        # Another thread holds whatever lock there is while the process is forked.
        inside, leave = threading.Event(), threading.Event()

        def slow(shared, now):
            inside.set()
            leave.wait(20)

        holder = threading.Thread(target=lambda: asyncio.run(store.change("key", slow)))
        if ":" not in where:
            holder.start()
            inside.wait()

        def child():
            async def work():
                assert await store.change("key", held) == "value"
                await store.close()
            asyncio.run(work())

        pid = in_child(child)
        time.sleep(0.2)
        leave.set()
        ended(pid)
        if ":" not in where:
            holder.join()
        assert loop.run_until_complete(store.change("key", held)) == "value"
        loop.run_until_complete(store.close())
        loop.close()
    """
    if kind == "redis":
        with RedisServer() as server:
            run(story, server.url)
    else:
        names = {"file": "tokens.json", "keyring": "tokens.ring"}
        run(story, str(tmp_path / names[kind]) if kind in names else kind)


def test_a_lock_file_that_was_held_at_the_fork_is_free_when_the_parent_lets_go(
    tmp_path: Path,
) -> None:
    story = """
        from pathlib import Path
        from zoho_async.files import locked
        path = Path(sys.argv[1])
        ready, go = os.pipe()

        def child():
            os.read(ready, 1)
            with locked(path):  # the parent has let go, and this process holds no copy
                pass

        with locked(path):
            pid = in_child(child)
        os.write(go, b"x")
        ended(pid)
    """
    run(story, str(tmp_path / "lock"))


def test_types_are_described_in_a_child_though_another_thread_described_at_the_fork() -> None:
    story = """
        from zoho_async import _msgspec
        held, leave = threading.Event(), threading.Event()

        def describing():
            with _msgspec._LOCK:
                held.set()
                leave.wait(20)

        thread = threading.Thread(target=describing)
        thread.start()
        held.wait()
        threading.Timer(0.2, leave.set).start()
        ended(in_child(lambda: _msgspec.decoder_of(int).decode(b"1")))  # it waits for the thread
        assert leave.is_set()
        thread.join()
    """
    run(story)
