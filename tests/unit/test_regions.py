"""The hosts to which secrets may be sent."""

from __future__ import annotations

import pytest

from zoho_async.errors import ConfigurationError
from zoho_async.regions import API_URLS, REGIONS, checked_url, region


def test_eight_regions_have_an_api_host_and_uk_has_none() -> None:
    assert {name for name, home in REGIONS.items() if home.api_url} == {
        "us", "eu", "in", "au", "jp", "ca", "sa", "cn",
    }  # fmt: skip
    assert region("UK").api_url is None
    assert len(API_URLS) == 8


def test_an_unknown_region_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="us, eu, in, au"):
        region("mars")


@pytest.mark.parametrize(
    "url",
    ["https://www.zohoapis.eu/", "http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:9"],
)
def test_https_anywhere_and_http_on_loopback_are_accepted(url: str) -> None:
    assert checked_url(url, what="the API URL") == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://www.zohoapis.com",
        "ftp://127.0.0.1",
        "www.zohoapis.com",
        "https://user:secret@www.zohoapis.com",
        "https://host/?x=1",
        "",
        "http://127.0.0.1.evil.example",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the API URL"):
        checked_url(url, what="the API URL")
