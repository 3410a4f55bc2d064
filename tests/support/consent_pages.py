"""Use the sandbox's accounts pages as a person does, without a browser."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from zoho_async.sandbox import Sandbox


async def agree(url: str, *, answer: str = "accept") -> dict[str, str]:
    """Press a button of the consent page at ``url`` and return the query of the redirect."""
    async with aiohttp.ClientSession() as http:
        async with http.get(url) as shown:
            page = await shown.text()
        hidden = dict(re.findall(r'type=hidden name=(\w+) value="([^"]*)"', page))
        hidden = {name: value.replace("&amp;", "&") for name, value in hidden.items()}
        parts = urlsplit(url)
        async with http.post(
            f"{parts.scheme}://{parts.netloc}/oauth/v2/auth/consent",
            data={**hidden, "answer": answer},
            allow_redirects=False,
        ) as redirected:
            assert redirected.status == 302
            location = redirected.headers["Location"]
    return dict(parse_qsl(urlsplit(location).query))


async def answer_device(zoho: Sandbox, user_code: str, *, answer: str = "accept") -> None:
    """Type the code of a device and press a button. Raises `aiohttp.ClientResponseError`."""
    async with (
        aiohttp.ClientSession(raise_for_status=True) as http,
        http.post(
            f"{zoho.accounts_url}/oauth/v3/device", data={"user_code": user_code, "answer": answer}
        ),
    ):
        pass


async def self_client_code(
    zoho: Sandbox, scope: str = "ZohoBooks.fullaccess.all", *, minutes: int = 10
) -> str:
    """Return a code from the Self Client page of the console."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            f"{zoho.accounts_url}/self-client", data={"scope": scope, "minutes": str(minutes)}
        ) as made,
    ):
        found = re.search(r"id=code>([^<]+)<", await made.text())
    assert found is not None
    return found.group(1)
