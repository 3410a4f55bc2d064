"""The accounts server: who may have an access token, and which tokens are still good.

It answers as Zoho's does, oddities included: wrong credentials come as HTTP 200 with an ``error``,
and too many tokens as HTTP 400 "Access Denied", which is not a revoked token.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from zoho_async.sandbox.replies import ENCODER, Reply

TokenState: TypeAlias = Literal["good", "dead", "unknown"]


class TokenRules(msgspec.Struct, kw_only=True):
    """How tokens are given; lengths are in seconds.

    ``life`` is how long an access token works; ``expires_in`` is what the answer says of it (None:
    the truth). ``per_window`` tokens may be asked for in ``window`` with one refresh token.
    ``live`` is how many work at a time: one more silently ends the oldest.
    """

    life: float = 3600.0
    expires_in: int | None = None
    per_window: int = 10
    window: float = 600.0
    live: int = 15
    scope: str = "ZohoBooks.fullaccess.all"


class Accounts:
    """One user's client, refresh token and access tokens."""

    def __init__(
        self,
        *,
        rules: TokenRules,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        seed: int,
    ) -> None:
        self.rules = rules
        self.client_id = client_id
        self.client_secret = client_secret
        self.refresh_token = refresh_token
        self.requests = 0
        self.given = 0
        self._seed = seed
        self._asked: deque[float] = deque()
        self._live: dict[str, float] = {}
        self._dead: set[str] = set()

    def state(self, token: str, now: float) -> TokenState:
        """Whether ``token`` works now, worked once, or was never given."""
        end = self._live.get(token)
        if end is None:
            return "dead" if token in self._dead else "unknown"
        return "good" if now < end else "dead"

    def revoke_tokens(self) -> None:
        """End every access token at once; the refresh token stays good."""
        self._dead.update(self._live)
        self._live.clear()

    def answer(self, form: Mapping[str, str], *, now: float, api_domain: str) -> Reply:
        """Answer ``POST /oauth/v2/token``; ``form`` holds the parameters of body and query."""
        self.requests += 1
        error = self._error(form)
        if error:
            return _oauth(200, {"error": error})
        if self._throttled(now):
            return _oauth(
                400,
                {
                    "error": "Access Denied",
                    "error_description": (
                        "You have made too many requests continuously. "
                        "Please try again after some time."
                    ),
                    "status": "failure",
                },
            )
        token = self._give(now)
        expires_in = self.rules.expires_in
        return _oauth(
            200,
            {
                "access_token": token,
                "scope": form.get("scope", self.rules.scope),
                "api_domain": api_domain,
                "token_type": "Bearer",
                "expires_in": int(self.rules.life) if expires_in is None else expires_in,
            },
        )

    def _error(self, form: Mapping[str, str]) -> str:
        grant = form.get("grant_type", "")
        if form.get("client_id") != self.client_id:
            return "invalid_client"
        if form.get("client_secret") != self.client_secret:
            return "invalid_client_secret"
        if grant == "client_credentials":
            return "" if form.get("scope") else "invalid_scope"
        if grant != "refresh_token":
            return "unsupported_grant_type" if grant else "invalid_request"
        return "" if form.get("refresh_token") == self.refresh_token else "invalid_code"

    def _throttled(self, now: float) -> bool:
        while self._asked and self._asked[0] <= now - self.rules.window:
            self._asked.popleft()
        if len(self._asked) >= self.rules.per_window:
            return True
        self._asked.append(now)
        return False

    def _give(self, now: float) -> str:
        self.given += 1
        token = f"1000.{self._seed:08x}{self.given:024x}.{self.given * 2_654_435_761:032x}"
        while len(self._live) >= self.rules.live:
            oldest = next(iter(self._live))
            del self._live[oldest]
            self._dead.add(oldest)
        self._live[token] = now + self.rules.life
        return token


def _oauth(status: int, values: dict[str, Any]) -> Reply:
    return Reply(status=status, code=None, body=ENCODER.encode(values))
