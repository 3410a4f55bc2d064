"""A compressed body is whole, or it is an error; and it never fills the memory."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from zoho_async.errors import Request, UnreadableReply
from zoho_async.http import transport as module
from zoho_async.http.transport import OpenResponse, Transport

#: Text that does not compress to nothing, so that a cut is somewhere in it.
TEXT = b"".join(b"%d;" % (n * 7919) for n in range(20_000))


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


WHOLE = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "Deflate": raw_deflate(TEXT),
    "GZIP": gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]),
    "identity": TEXT,
}


@asynccontextmanager
async def answering(
    encoding: str, body: bytes, *, chunk: int = 1 << 20
) -> AsyncGenerator[OpenResponse]:
    """An opened answer of this body, sent in chunks without a length."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nTransfer-Encoding: chunked\r\n"
        writer.write(head.encode() + b"\r\n")
        for start in range(0, len(body), chunk):
            piece = body[start : start + chunk]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/x"
    transport = Transport(None, user_agent="test")
    async with listener:
        await transport.acquire()
        opened = await transport.open(Request("GET", "/x"), url, headers={})
        try:
            yield opened
        finally:
            opened.close()
            await transport.close()


@pytest.mark.parametrize("encoding", WHOLE)
@pytest.mark.parametrize("chunk", [97, 1 << 20])
async def test_a_whole_body_is_decompressed(encoding: str, chunk: int) -> None:
    async with answering(encoding, WHOLE[encoding], chunk=chunk) as opened:
        assert (await opened.read()).body == TEXT
    async with answering(encoding, WHOLE[encoding], chunk=chunk) as opened:
        assert (await opened.peek(10)).body == TEXT[:10]
        assert b"".join([piece async for piece in opened.chunks()]) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "Deflate", "GZIP"])
@pytest.mark.parametrize("missing", [1, 4, 8, 9, 1000])
async def test_a_body_that_is_cut_short_is_an_error(encoding: str, missing: int) -> None:
    cut = WHOLE[encoding][:-missing]
    async with answering(encoding, cut) as opened:
        with pytest.raises(UnreadableReply, match="cut short"):
            await opened.read()
    async with answering(encoding, cut) as opened:
        with pytest.raises(UnreadableReply, match="cut short"):
            async for _ in opened.chunks():
                pass


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", TEXT),
        ("gzip", WHOLE["gzip"][:-8] + b"\x00" * 8),
        ("gzip", WHOLE["gzip"] + b"more"),
        ("deflate", b"\x78no"),
        ("br", b"\x0b\x02\x80text\x03"),
        ("zstd", b"(\xb5/\xfd"),
        ("gzip, gzip", gzip.compress(WHOLE["gzip"])),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_an_error(encoding: str, body: bytes) -> None:
    async with answering(encoding, body) as opened:
        with pytest.raises(UnreadableReply):
            await opened.read()


async def test_an_empty_body_is_empty_whatever_it_says() -> None:
    async with answering("gzip", b"") as opened:
        assert (await opened.read()).body == b""


async def test_a_bomb_is_given_up_at_the_limit_of_any_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1_000_000)
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        async with answering("gzip", bomb) as opened:
            with pytest.raises(UnreadableReply, match="longer than 1,000,000 bytes"):
                await opened.read()
        async with answering("gzip", bomb) as opened:
            with pytest.raises(UnreadableReply, match="longer than 1,000,000 bytes"):
                async for _ in opened.chunks():
                    pass
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
