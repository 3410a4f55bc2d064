"""The organizations that an account may call for."""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.decoders import decoder_of


class KnownOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """One of the user's organizations; ``is_default`` is the one that calls mean by themselves."""

    id: str
    name: str = ""
    is_default: bool = False

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else self.id


class _Row(msgspec.Struct):
    organization_id: str | int
    name: str = ""
    is_default_org: bool | str = False


class _Rows(msgspec.Struct):
    organizations: list[_Row] = []


_ROWS: Final = decoder_of(_Rows)


def read_organizations(body: bytes) -> list[KnownOrganization]:
    """The rows of a reply of ``GET /organizations``. Raises what is `UNDECODABLE`."""
    rows = _ROWS.decode(body).organizations
    return [
        KnownOrganization(
            id=str(row.organization_id), name=row.name, is_default=row.is_default_org is True
        )
        for row in rows
    ]
