"""The meaning of the accounts server's answers."""

from __future__ import annotations

import pytest

from zoho_async.auth import access_token
from zoho_async.auth.reply import granted
from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    ConsentRefused,
    InvalidClient,
    InvalidGrant,
    InvalidRedirect,
    InvalidScope,
    TokenThrottled,
)

_THROTTLED = (
    b'{"error":"Access Denied","error_description":"You have made too many requests '
    b'continuously.","status":"failure"}'
)


def test_a_token_is_read_with_its_life_and_its_api_host() -> None:
    token = access_token(
        200,
        b'{"access_token":"1000.t","api_domain":"https://www.zohoapis.eu",'
        b'"token_type":"Bearer","expires_in":3600}',
    )
    assert token.value == "1000.t"
    assert token.expires_in == 3600
    assert token.api_domain == "https://www.zohoapis.eu"


def test_a_field_that_is_null_is_not_there() -> None:
    grant = granted(
        200,
        b'{"access_token":"1000.t","refresh_token":"1000.r","api_domain":null,"scope":null,'
        b'"expires_in":null,"error":null,"status":null}',
        "authorization_code",
    )
    assert (grant.access.value, grant.refresh_token) == ("1000.t", "1000.r")
    assert (grant.access.expires_in, grant.access.api_domain, grant.scope) == (3600, "", "")


@pytest.mark.parametrize(
    ("status", "body", "kind", "advice"),
    [
        (200, b'{"error":"invalid_code"}', InvalidGrant, "ZOHO_REFRESH_TOKEN"),
        (200, b'{"error":"invalid_client"}', InvalidClient, "ZOHO_CLIENT_ID"),
        (200, b'{"error":"invalid_client_secret"}', InvalidClient, "ZOHO_CLIENT_SECRET"),
        (400, _THROTTLED, TokenThrottled, "still valid"),
        (429, b"{}", TokenThrottled, "wait ten minutes"),
        (200, b"<html>Zoho</html>", AccountsUnavailable, "ZOHO_REGION"),
        (200, b"", AccountsUnavailable, "not JSON"),
        (200, b"[" * 5000, AccountsUnavailable, "not JSON"),
        (503, b"{}", AccountsUnavailable, "HTTP 503"),
        (400, b'{"error":"invalid_grant"}', InvalidGrant, "revoked"),
        (400, b'{"error":"unauthorized_client"}', InvalidClient, "API console"),
        (200, b'{"error":"invalid_scope"}', InvalidScope, "zoho-async scopes"),
        (401, b'{"error":"invalid_oauthscope"}', InvalidScope, "log in again"),
        (200, b'{"error":"invalid_redirect_uri"}', InvalidRedirect, "API console"),
        (200, b'{"error":"access_denied"}', ConsentRefused, "refused"),
        (200, b'{"error":"general_error"}', AccountsUnavailable, "try again later"),
        (400, b'{"error":"something_new"}', AuthError, "something_new"),
        (200, b"{}", AccountsUnavailable, "HTTP 200 without a token"),
        (200, b'{"access_token":null}', AccountsUnavailable, "HTTP 200 without a token"),
    ],
)
def test_each_error_of_the_token_endpoint_says_what_to_do(
    status: int, body: bytes, kind: type[AuthError], advice: str
) -> None:
    with pytest.raises(AuthError, match=advice) as caught:
        access_token(status, body)
    assert type(caught.value) is kind


def test_a_token_is_not_in_its_repr() -> None:
    assert "1000.t" not in repr(access_token(200, b'{"access_token":"1000.t"}'))


@pytest.mark.parametrize("token", ["1000.a\\nX-Other: 1", "1000.a\\r\\n", "1000.ü", " 1000.a"])
def test_a_token_that_no_header_can_carry_is_an_error_without_it(token: str) -> None:
    with pytest.raises(AccountsUnavailable, match="no header can carry") as error:
        access_token(200, f'{{"access_token":"{token}"}}'.encode())
    assert "1000" not in str(error.value)
