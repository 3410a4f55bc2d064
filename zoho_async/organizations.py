"""The organizations of an account: reading them, and listing them in errors."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.errors import (
    ConfigurationError,
    OrganizationError,
    Request,
    UnreadableReply,
    ZohoError,
)
from zoho_async.http.call import Call, Options
from zoho_async.http.client import Client
from zoho_async.http.transport import Answer
from zoho_async.operation import Product
from zoho_async.wire import read_envelope
from zoho_async.wire.text import UNDECODABLE


class KnownOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """One of the user's organizations. Calls that name none go to the one with ``is_default``."""

    id: str
    name: str = ""
    is_default: bool = False
    time_zone: str | None = None

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else self.id


class _Row(msgspec.Struct):
    organization_id: str | int
    name: str = ""
    is_default_org: bool | str = False
    time_zone: str | None = None


class _Rows(msgspec.Struct):
    organizations: list[_Row] = []


_ROWS: Final = decoder_of(_Rows)


def read_organizations(body: bytes) -> list[KnownOrganization]:
    """Read a reply of ``GET /organizations``. Raises one of `UNDECODABLE`."""
    rows = _ROWS.decode(body).organizations
    return [
        KnownOrganization(
            id=str(row.organization_id),
            name=row.name,
            is_default=row.is_default_org is True,
            time_zone=row.time_zone,
        )
        for row in rows
    ]


def organization_id(value: str | int | None) -> str | None:
    """An organization's id as text. Raises `ConfigurationError` if it is not an id."""
    if value is None:
        return None
    text = str(value).strip()
    if not text.isdecimal():
        raise ConfigurationError(
            f"organization must be a number such as 10234695, got {text!r}; "
            "Zoho's web app shows it under the organization's name"
        )
    return text


class Organizations:
    """The organizations of the account of ``client``, read through ``product``."""

    def __init__(self, client: Client, product: Product) -> None:
        self._client: Final = client
        self._product: Final = product
        self._lock: Final = asyncio.Lock()
        self._choices: tuple[str, ...] = ()

    async def fetch(
        self, options: Options, caller: object
    ) -> tuple[Answer, list[KnownOrganization]]:
        """Make one call, which names no organization. Raises as `Session.call` does."""
        call = Call(
            request=Request("GET", "/organizations", None),
            product=self._product,
            options=options,
            caller=caller,
            scope="ZohoBooks.settings.READ",
            per_user=True,
        )
        answer, _ = await self._client.send(call, read_envelope)
        try:
            found = read_organizations(answer.body)
        except UNDECODABLE:
            problem = "the reply lists no organizations"
            raise UnreadableReply(call.request, problem, answer.status) from None
        self._client.learn_time_zones({one.id: one.time_zone for one in found if one.time_zone})
        return answer, found

    async def with_choices(
        self, wrong: OrganizationError, options: Options, caller: object
    ) -> OrganizationError:
        """Add the organizations to choose from to an error. They are fetched once."""
        if wrong.choices:
            return wrong
        async with self._lock:
            if not self._choices:
                with suppress(ZohoError):
                    _, found = await self.fetch(options, caller)
                    self._choices = tuple(map(str, found))
        return wrong.with_choices(self._choices)
