"""The accounts server: issues access tokens and knows which are valid.

Model
    Access tokens belong to the refresh token that they were issued for, or to the client if there
    is no user. Each refresh token has at most ``live`` access tokens, and the user has at most
    ``refresh_tokens`` refresh tokens. One more silently ends the oldest.

    A code that was asked for with a PKCE challenge can be exchanged without the client secret, but
    not without the verifier. Its refresh token then needs no secret either. The one client of the
    sandbox plays all kinds of clients; Zoho ties each client to one kind.

Zoho's oddities are kept. Wrong credentials are answered with HTTP 200 and an ``error``. Too many
token requests are answered with HTTP 400 "Access Denied"; the refresh token stays valid.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b, sha256
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.sandbox.replies import ENCODER, ApiReply

_TokenKind: TypeAlias = Literal["access", "refresh", "public", "code", "client", "device"]
TokenState: TypeAlias = Literal["good", "dead", "unknown"]


class TokenRules(msgspec.Struct, kw_only=True):
    """The rules for tokens. Durations are in seconds.

    Attributes:
        life: how long an access token is valid.
        expires_in: the lifetime that replies state; None states the real one.
        per_window: token requests that one refresh token may make in ``window``.
        window: length of that window.
        live: valid access tokens per refresh token; one more ends the oldest.
        refresh_tokens: valid refresh tokens per user; one more ends the oldest.
        code_life: how long a code from the authorization page is valid.
        redirects: redirect URIs registered for the client; if empty, any loopback URI is accepted.
        scope: scopes of the first refresh token.
        device_interval: shortest time between two polls of a device.
        device_life: how long the codes of a device are valid.
        user_location: data center of the user if it is another than the one that is asked. It is
            then the same server under the name ``localhost``, and codes work only there.
    """

    life: float = 3600.0
    expires_in: int | None = None
    per_window: int = 10
    window: float = 600.0
    live: int = 15
    refresh_tokens: int = 20
    code_life: float = 60.0
    redirects: tuple[str, ...] = ()
    scope: str = "ZohoBooks.fullaccess.all"
    device_interval: float = 30.0
    device_life: float = 300.0
    user_location: str = ""


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """An unused code. ``redirect_uri`` is "" for a code from the Self Client page.

    ``challenge`` and ``method`` are those of PKCE, or "".
    """

    scope: str
    ends: float
    redirect_uri: str = ""
    offline: bool = True
    challenge: str = ""
    method: str = ""

    def is_proven_by(self, verifier: str) -> bool:
        """Whether ``verifier`` belongs to the challenge, if there was one."""
        if not self.challenge:
            return True
        if self.method == "S256":
            digest = sha256(verifier.encode()).digest()
            verifier = urlsafe_b64encode(digest).decode().rstrip("=")
        return verifier == self.challenge


class DeviceLogin(msgspec.Struct, kw_only=True):
    """A login on a device that waits for its user. ``polled`` is the time of the last poll.

    ``answer`` is what the user chose: ``accept``, ``reject``, or "" if nothing yet.
    """

    user_code: str
    scope: str
    ends: float
    polled: float
    answer: str = ""


class TokenHolder(msgspec.Struct, kw_only=True):
    """A refresh token or client, and its access tokens. The rules set a missing ``scope``.

    ``public`` says that it belongs to a client without a secret.
    """

    scope: str | None = None
    public: bool = False
    requested: deque[float] = msgspec.field(default_factory=deque[float])
    live: dict[str, float] = msgspec.field(default_factory=dict[str, float])


class _GrantError(Exception):
    """A request for a token that is answered with the ``error`` that this names."""


class Accounts:
    """One user's client, refresh tokens and access tokens.

    ``speed`` is the number of sandbox seconds per real second. ``expires_in`` is in real seconds.
    """

    def __init__(
        self,
        *,
        rules: TokenRules,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        seed: int,
        speed: float = 1.0,
    ) -> None:
        self.rules = rules
        self.speed = speed
        self.client_id = client_id
        self.client_secret = client_secret
        self.requests = 0
        self._issued = 0
        self._seed = seed & 0xFFFF_FFFF
        self._own: set[str] = set()
        self._refresh: dict[str, TokenHolder] = {refresh_token: TokenHolder()}
        self._clients: dict[str, TokenHolder] = {}
        self._codes: dict[str, Code] = {}
        #: Logins on devices by their device codes.
        self.devices: dict[str, DeviceLogin] = {}
        self._dead: set[str] = set()

    # -- access tokens ----------------------------------------------------------------------

    def state(self, token: str, now: float) -> TokenState:
        """Return whether ``token`` is valid, has ended, or was never issued."""
        self._adopt(token, now)
        for holder in self._holders():
            end = holder.live.get(token)
            if end is not None:
                return "good" if now < end else "dead"
        return "dead" if token in self._dead else "unknown"

    def scope(self, token: str) -> str:
        """Return the scopes of a valid ``token``."""
        for holder in self._holders():
            if token in holder.live and holder.scope is not None:
                return holder.scope
        return self.rules.scope

    def revoke_tokens(self) -> None:
        """End every access token. The refresh tokens stay valid."""
        for holder in self._holders():
            self._end(holder)

    def revoke_grants(self) -> None:
        """End every refresh token and every access token."""
        self.revoke_tokens()
        self._refresh.clear()

    def end(self, token: str) -> None:
        """End one access token early."""
        for holder in self._holders():
            if holder.live.pop(token, None) is not None:
                self._dead.add(token)

    @property
    def live_tokens(self) -> list[str]:
        """The access tokens that were issued and not ended, including expired ones."""
        return [token for holder in self._holders() for token in holder.live]

    @property
    def refresh_tokens(self) -> list[str]:
        """The valid refresh tokens, oldest first."""
        return list(self._refresh)

    # -- requests ---------------------------------------------------------------------------

    def new_code(self, code: Code) -> str:
        """Return a code that is valid once, as ``code`` describes."""
        name = self._new_token("code")
        self._codes[name] = code
        return name

    def new_device_code(self, scope: str, now: float) -> str:
        """Return the device code of a new login, which is added to ``devices``."""
        code = self._new_token("device")
        name = code[-8:].upper()
        self.devices[code] = DeviceLogin(
            user_code=f"{name[:4]}-{name[4:]}",
            scope=scope,
            ends=now + self.rules.device_life,
            polled=now,
        )
        return code

    def device_tokens(self, scope: str, *, now: float, api_domain: str) -> ApiReply:
        """Answer the poll of a device whose user agreed."""
        holder = TokenHolder(scope=scope)
        return self._tokens(holder, self._add_refresh_token(holder), now, api_domain)

    def answer(
        self, form: Mapping[str, str], *, now: float, api_domain: str, is_home: bool = True
    ) -> ApiReply:
        """Answer ``POST /oauth/v2/token``; ``form`` holds the parameters of body and query.

        ``is_home`` says that this is the user's data center. Codes are unknown in another one.
        """
        if form.get("client_id") != self.client_id:
            return denied("invalid_client")
        secret = form.get("client_secret")
        if secret != self.client_secret and (secret is not None or self._needs_secret(form)):
            return denied("invalid_client_secret")
        grant_type = form.get("grant_type", "")
        grant = _GRANTS.get(grant_type)
        if grant is None:
            return denied("unsupported_grant_type" if grant_type else "invalid_request")
        if grant_type == "authorization_code" and not is_home:
            return denied("invalid_code")
        try:
            holder, new_token = grant(self, form, now)
        except _GrantError as error:
            return denied(str(error))
        if self._throttled(holder, now):
            return throttled()
        return self._tokens(holder, new_token, now, api_domain)

    def _tokens(self, holder: TokenHolder, new_token: str, now: float, api_domain: str) -> ApiReply:
        """Answer with a new access token, and ``new_token`` if it is not ""."""
        expires_in = self.rules.expires_in
        answer = {
            "access_token": self._issue(holder, now),
            "scope": holder.scope or self.rules.scope,
            "api_domain": api_domain,
            "token_type": "Bearer",
            "expires_in": int(self.rules.life / self.speed) if expires_in is None else expires_in,
        }
        if new_token:
            answer["refresh_token"] = new_token
        return _json(200, answer)

    def by_refresh_token(self, form: Mapping[str, str], now: float) -> tuple[TokenHolder, str]:
        """Return the holder of a refresh token, and no new refresh token."""
        token = form.get("refresh_token", "")
        holder = self._refresh.get(token)
        if holder is None and token not in self._own:
            for kind in ("refresh", "public"):
                if self._is_signed(kind, token):
                    holder = self._refresh[token] = TokenHolder(public=kind == "public")
        if holder is None:
            raise _GrantError("invalid_code")
        return holder, ""

    def by_credentials(self, form: Mapping[str, str], now: float) -> tuple[TokenHolder, str]:
        """Return the holder for the client itself, and no refresh token."""
        scope = form.get("scope")
        if not scope:
            raise _GrantError("invalid_scope")
        return self._clients.setdefault(scope, TokenHolder(scope=scope)), ""

    def by_code(self, form: Mapping[str, str], now: float) -> tuple[TokenHolder, str]:
        """Exchange a code for a new holder and, if the user is offline, its refresh token."""
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or now >= code.ends:
            raise _GrantError("invalid_code")
        if form.get("redirect_uri", "") != code.redirect_uri:
            raise _GrantError("invalid_redirect_uri")
        if not code.is_proven_by(form.get("code_verifier", "")):
            raise _GrantError("invalid_grant")  # the name is RFC 7636's; Zoho's was not seen
        holder = TokenHolder(scope=code.scope, public="client_secret" not in form)
        if code.offline:
            return holder, self._add_refresh_token(holder)
        self._clients[self._new_token("client")] = holder
        return holder, ""

    def revoke(self, token: str) -> ApiReply:
        """Answer ``POST /oauth/v2/token/revoke``. A refresh token's access tokens end with it."""
        holder = self._refresh.pop(token, None)
        if holder is not None:
            self._end(holder)
            return _json(200, {"status": "success"})
        for holder in self._holders():
            if holder.live.pop(token, None) is not None:
                self._dead.add(token)
                return _json(200, {"status": "success"})
        return _json(400, {"error": "invalid_code"})

    # -- helpers --------------------------------------------------------------------------

    def _holders(self) -> list[TokenHolder]:
        return [*self._refresh.values(), *self._clients.values()]

    def _needs_secret(self, form: Mapping[str, str]) -> bool:
        """Whether a request without the client secret is refused for that."""
        if form.get("grant_type") == "authorization_code":
            code = self._codes.get(form.get("code", ""))
            return code is not None and not code.challenge
        token = form.get("refresh_token", "")
        holder = self._refresh.get(token)
        return not (self._is_signed("public", token) if holder is None else holder.public)

    def _add_refresh_token(self, holder: TokenHolder) -> str:
        while len(self._refresh) >= self.rules.refresh_tokens:
            self._end(self._refresh.pop(next(iter(self._refresh))))
        token = self._new_token("public" if holder.public else "refresh")
        self._refresh[token] = holder
        return token

    def _end(self, holder: TokenHolder) -> None:
        self._dead.update(holder.live)
        holder.live.clear()

    def _throttled(self, holder: TokenHolder, now: float) -> bool:
        requested = holder.requested
        while requested and requested[0] <= now - self.rules.window:
            requested.popleft()
        if len(requested) >= self.rules.per_window:
            return True
        requested.append(now)
        return False

    def _issue(self, holder: TokenHolder, now: float) -> str:
        token = self._new_token("access", self.rules.life)
        while len(holder.live) >= self.rules.live:
            oldest = next(iter(holder.live))
            del holder.live[oldest]
            self._dead.add(oldest)
        holder.live[token] = now + self.rules.life
        return token

    # -- tokens of an earlier sandbox ---------------------------------------------------------
    #
    # A sandbox that is restarted at the same address takes the tokens of the one before, as Zoho
    # does. Without this, each restart would cost every client a new access token, and a client
    # that counts them stops at ten in ten minutes.

    def _adopt(self, token: str, now: float) -> None:
        """Take an access token that an earlier sandbox with this seed and client issued."""
        if token in self._own or not self._refresh or not self._is_signed("access", token):
            return
        self._own.add(token)
        left = (int(token[13:23], 16) - time.time()) * self.speed
        if left > 0:
            next(iter(self._refresh.values())).live[token] = now + left
        else:
            self._dead.add(token)

    def _new_token(self, kind: _TokenKind, life: float = 0.0) -> str:
        """Return a new token or code. All have the same form, which has the end in real time."""
        self._issued += 1
        end = int(time.time() + life / self.speed)
        head = f"{self._seed:08x}{end:010x}{self._issued:014x}"
        token = f"1000.{head}.{self._signature(kind, head)}"
        self._own.add(token)
        return token

    def _is_signed(self, kind: _TokenKind, token: str) -> bool:
        head = token[5:37]
        return token == f"1000.{head}.{self._signature(kind, head)}" and head[:8] == (
            f"{self._seed:08x}"
        )

    def _signature(self, kind: _TokenKind, head: str) -> str:
        return blake2b(f"{kind}{self.client_secret}{head}".encode(), digest_size=16).hexdigest()


_Grant: TypeAlias = Callable[[Accounts, Mapping[str, str], float], tuple[TokenHolder, str]]
_GRANTS: Final[Mapping[str, _Grant]] = {
    "refresh_token": Accounts.by_refresh_token,
    "client_credentials": Accounts.by_credentials,
    "authorization_code": Accounts.by_code,
}


def _json(status: int, values: dict[str, Any]) -> ApiReply:
    return ApiReply(status=status, code=None, body=ENCODER.encode(values))


def denied(name: str) -> ApiReply:
    """Return the refusal of a token: HTTP 200 with an ``error``."""
    return _json(200, {"error": name})


def throttled() -> ApiReply:
    """Return the refusal for too many token requests. The refresh token stays valid."""
    return _json(
        400,
        {
            "error": "Access Denied",
            "error_description": (
                "You have made too many requests continuously. Please try again after some time."
            ),
            "status": "failure",
        },
    )
