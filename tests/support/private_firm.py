"""A server of contacts and their comments, in which each value that is to be hidden is unique."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

#: In every hidden value, and in nothing else.
HIDDEN = "Zq7Hidden"
RULES = {
    "exclude": (
        "*:notes,+undescribed",
        "contacts:cf_secret,billing_address.street2,shipping_address",
    ),
    "hash": ("*:email,+customer_email", "contacts:cf_hash"),
    "mask": ("contacts:phone,mobile,+rating,cf_mask", "contacts.comments:description"),
}


class PrivateFirm:
    """Answers for ``count`` contacts. ``before`` is called with the number of each request."""

    def __init__(self, count: int = 7) -> None:
        self.count = count
        self.version = 1
        self.gone: set[int] = set()
        self.requests = 0
        self.before: Callable[[int], object] = lambda number: None
        self._numbers = itertools.count()

    def hidden(self, place: str, one: int) -> str:
        return f"{HIDDEN}{place}{one}v{self.version}x"

    def row(self, one: int, *, full: bool = False) -> dict[str, Any]:
        def hide(place: str) -> str:
            return self.hidden(place, one)

        row: dict[str, Any] = {
            "contact_id": f"{one + 100}",
            "contact_name": f"Name {one} v{self.version}",
            "email": self.email(one),
            "email_formatted": hide("emailformatted"),
            "phone": hide("phone"),
            "mobile": "",
            "notes": hide("notes"),
            "undescribed": {"deep": [hide("deep")]},
            "rating": hide("rating"),
            "cf_secret": hide("cfsecret"),
            "cf_secret_unformatted": hide("cfsecretraw"),
            "cf_hash": hide("cfhash"),
            "cf_open": f"open {one}",
            "created_time": "2026-01-01T00:00:00+0000",
            "last_modified_time": f"2026-01-{self.version:02}T00:00:00+0000",
        }
        if full:
            row |= {
                "billing_address": {"city": "Rome", "street2": hide("street"), "phone": hide("p")},
                "shipping_address": {"city": hide("city")},
                "contact_persons": [{"first_name": "Ann", "email": hide("person"), "notes": 1}],
                "custom_field_hash": {"cf_secret": hide("hash"), "cf_open": f"open {one}"},
                "custom_fields": [
                    {"api_name": "cf_secret", "label": "Secret", "value": hide("element")},
                    {"api_name": "cf_hash", "value": hide("eh"), "value_formatted": hide("eh")},
                    {"api_name": "cf_mask", "value": [hide("list")]},
                    {"api_name": "cf_open", "value": f"open {one}"},
                ],
            }
        return row

    def email(self, one: int) -> str:
        return f"{HIDDEN}mail{one}@example.com"

    def comments(self, one: int) -> list[dict[str, Any]]:
        return [
            {"comment_id": f"{one}1", "description": self.hidden("comment", one), "date": "x"},
            {"comment_id": f"{one}2", "description": "", "email": self.email(one)},
        ]

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.before(self.requests)
        parts = request.path.strip("/").split("/")
        place = parts.index("contacts")
        rest = parts[place + 1 :]
        if not rest:
            return self._page(request)
        one = int(rest[0]) - 100
        if one in self.gone:
            return web.json_response({"code": 1002, "message": "does not exist"}, status=404)
        if rest[1:] == ["comments"]:
            context = {"page": 1, "per_page": 200, "has_more_page": False}
            return _ok(contact_comments=self.comments(one), page_context=context)
        return _ok(contact=self.row(one, full=True))

    def _page(self, request: web.Request) -> web.Response:
        size = min(int(request.query.get("per_page", "200")), 3)
        page = int(request.query.get("page", "1"))
        there = [one for one in range(self.count) if one not in self.gone]
        rows = [self.row(one) for one in there[(page - 1) * size : page * size]]
        context = {
            "page": page,
            "per_page": size,
            "has_more_page": page * size < len(there),
            "total": len(there),
            "applied_filter": "Status.All",
        }
        if request.query.get("response_option") == "2":
            return _ok(page_context=context)
        return _ok(contacts=rows, page_context=context)


def _ok(**values: object) -> web.Response:
    body = json.dumps({"code": 0, "message": "success", **values})
    return web.Response(text=body, content_type="application/json")


def leaks(content: bytes) -> Iterator[bytes]:
    """Every hidden value in ``content``, in any width of character."""
    for text in (HIDDEN, HIDDEN.lower(), HIDDEN[::-1]):
        for encoding in ("utf-8", "utf-16-le", "utf-32-le"):
            if text.encode(encoding) in content:
                yield text.encode(encoding)
