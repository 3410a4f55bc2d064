"""Client of an accounts server: one POST of a form, sent once, with all secrets in its body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final
from urllib.parse import urlencode

import aiohttp

from zoho_async.errors import AccountsUnavailable, Request, TransportError
from zoho_async.http.transport import Answer, Transport, proxy_for
from zoho_async.regions import checked_url, region

#: Timeout of a token request in seconds. A lease must be longer.
LONGEST: Final = 20.0

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class AccountsServer:
    """The accounts server of ``region_name``, or at ``url`` if one is given.

    Use it as an async context manager, or pass ``open_transport`` of an owner that closes the
    transport. Raises `ConfigurationError` for an unknown region or a bad URL.
    """

    def __init__(
        self,
        region_name: str = "us",
        *,
        url: str | None = None,
        http: aiohttp.BaseConnector | None = None,
        open_transport: Callable[[], Transport] | None = None,
    ) -> None:
        self.url: Final = checked_url(
            url or region(region_name).accounts_url, what="the accounts URL"
        )
        self._http: Final = http
        self._given: Final = open_transport
        self._own: Transport | None = None

    def __repr__(self) -> str:
        return f"<AccountsServer {self.url}>"

    async def __aenter__(self) -> AccountsServer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        own, self._own = self._own, None
        if own is not None:
            await own.close()

    async def post(self, path: str, form: Mapping[str, str]) -> Answer:
        """Send ``form`` to ``path``. Raises `AccountsUnavailable` if no answer came."""
        url = self.url + path
        try:
            return await self._transport().send(
                Request("POST", path),
                url,
                headers=_FORM,
                body=urlencode(form).encode(),
                read_timeout=LONGEST,
                total_timeout=LONGEST,
                proxy=proxy_for(url),
            )
        except TransportError as error:
            raise AccountsUnavailable(f"the accounts server did not answer: {error}") from error

    def _transport(self) -> Transport:
        if self._given is not None:
            return self._given()
        if self._own is None:
            self._own = Transport(self._http, user_agent="zoho_async")
        return self._own
