"""The simulated accounts server: it grants, throttles, refuses and ends access tokens."""

from __future__ import annotations

import json
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.assumptions import TokenRules

PERIOD: Final = 600.0
TOKEN_PATH: Final = "/oauth/v2/token"


@dataclass
class Accounts:
    """Grants access tokens for refresh tokens.

    ``grants`` has the moment of each token request that was granted, by refresh token, and
    ``throttled`` those that were refused for their number.
    """

    rules: TokenRules
    chance: random.Random
    grants: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    throttled: list[float] = field(default_factory=list[float])
    asked: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    #: Every token that was given out, for the judge of secrets.
    secrets: set[str] = field(default_factory=set[str])
    _live: dict[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])
    _recent: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])
    _number: int = 0

    def answer(self, path: str, form: dict[str, str], at: float) -> tuple[int, bytes]:
        """Answer a request of the accounts server with a status and a body."""
        refresh = form.get("refresh_token", "")
        self.asked.append((at, refresh))
        self.secrets.update(each for each in (refresh, form.get("client_secret", "")) if each)
        if path.endswith("/revoke"):
            self.revoke(form.get("token", refresh))
            return 200, b'{"status":"success"}'
        if self.rules.fails and self.chance.random() < self.rules.fails:
            return 503, b"<html>Service Unavailable</html>"
        revoked = self.rules.revoked_at
        if form.get("grant_type") != "refresh_token" or (revoked is not None and at >= revoked):
            return 200, b'{"error":"invalid_code"}'
        recent = self._recent.setdefault(refresh, deque())
        while recent and recent[0] <= at - PERIOD:
            recent.popleft()
        if len(recent) >= self.rules.per_period:
            self.throttled.append(at)
            denied = {
                "error": "Access Denied",
                "error_description": "You have made too many requests continuously.",
                "status": "failure",
            }
            return 400, json.dumps(denied).encode()
        recent.append(at)
        self.grants.setdefault(refresh, []).append(at)
        return 200, json.dumps(self._grant(refresh, at)).encode()

    def _grant(self, refresh: str, at: float) -> dict[str, object]:
        self._number += 1
        token = f"1000.{self.chance.getrandbits(128):032x}.{self._number:032x}"
        self.secrets.add(token)
        of_refresh = [each for each, (_, owner) in self._live.items() if owner == refresh]
        for each in of_refresh[: max(0, len(of_refresh) + 1 - self.rules.live)]:
            del self._live[each]
        self._live[token] = (at + self.rules.lives, refresh)
        return {
            "access_token": token,
            "api_domain": "https://www.zohoapis.com",
            "token_type": "Bearer",
            "expires_in": int(self.rules.lives),
        }

    def is_valid(self, authorization: str, at: float) -> bool:
        """Whether a request with this header is authorized. Its token may die now."""
        token = authorization.removeprefix("Zoho-oauthtoken ").removeprefix("Bearer ")
        found = self._live.get(token)
        if found is None or at >= found[0]:
            return False
        if self.rules.early and self.chance.random() < self.rules.early:
            del self._live[token]
            return False
        return True

    def revoke(self, refresh: str) -> None:
        """End all access tokens of a refresh token."""
        for each in [one for one, (_, owner) in self._live.items() if owner == refresh]:
            del self._live[each]
