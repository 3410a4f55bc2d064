"""The checks of ``zoho-async doctor`` that make no calls."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zoho_async.auth import Profile, Profiles
from zoho_async.cli import checks

ZOHO = ("https://accounts.zoho.com", "https://www.zohoapis.com")
ACCOUNT = {"ZOHO_CLIENT_ID": "a", "ZOHO_CLIENT_SECRET": "b", "ZOHO_REFRESH_TOKEN": "c"}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("environ", "status", "text"),
    [
        ({}, "ok", "calls go directly"),
        ({"HTTPS_PROXY": "http://me:word@proxy:3128"}, "ok", "calls go through http://proxy:3128"),
        ({"HTTPS_PROXY": "socks5://me:word@proxy:1"}, "failed", "of the kind socks5"),
        ({"HTTPS_PROXY": "me:word@proxy"}, "failed", "cannot be read"),
        ({"HTTPS_PROXY": "http://me:word@proxy:many"}, "failed", "cannot be read"),
        ({"ALL_PROXY": "http://me:word@proxy:3128"}, "ok", "through http://proxy:3128"),
        ({"all_proxy": "http://me:word@proxy:3128"}, "ok", "through http://proxy:3128"),
        ({"ALL_PROXY": "socks5://me:word@proxy:1"}, "warning", "ALL_PROXY is not an HTTP proxy"),
        ({"ALL_PROXY": "socks5://proxy:1", "NO_PROXY": "zoho.com,zohoapis.com"}, "ok", "directly"),
        ({"ALL_PROXY": "x", "HTTPS_PROXY": "http://proxy:1"}, "ok", "through http://proxy:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*"}, "ok", "directly"),
    ],
)
def test_the_proxy_is_the_one_that_calls_use(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], status: str, text: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = checks.proxy(os.environ, ZOHO)
    assert (found.status, text in found.text) == (status, True), found
    assert "word" not in found.text + found.advice
    assert bool(found.advice) == (status != "ok")


def test_a_sandbox_needs_no_proxy() -> None:
    found = checks.proxy({"ALL_PROXY": "socks5://h"}, ["http://127.0.0.1:8080"])
    assert found.status == "ok"


def test_certificates_are_those_that_python_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert checks.certificates({}).status == "ok"
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for name, value, status in (
        ("SSL_CERT_FILE", str(tmp_path / "missing.pem"), "failed"),
        ("SSL_CERT_FILE", str(broken), "failed"),
        ("SSL_CERT_DIR", str(tmp_path / "missing"), "failed"),
        ("REQUESTS_CA_BUNDLE", str(broken), "warning"),
        ("CURL_CA_BUNDLE", str(broken), "warning"),
    ):
        found = checks.certificates({name: value})
        assert (found.status, name in found.text) == (status, True), found
        assert found.advice
    assert (
        f"SSL_CERT_FILE='{broken}'"
        in checks.certificates({"REQUESTS_CA_BUNDLE": str(broken)}).advice
    )
    lost = checks.certificates({"REQUESTS_CA_BUNDLE": str(tmp_path / "missing.pem")})
    assert (lost.status, "does not exist" in lost.text) == ("warning", True)
    assert "SSL_CERT_FILE" not in lost.advice


def test_a_machine_without_certificates_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(empty))
    found = checks.certificates({})
    assert (found.status, "ca-certificates" in found.advice) == ("failed", True)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"ZOHO_REGION": "usa"}, "unknown region 'usa'"),
        ({"ZOHO_REGION": "uk"}, "set ZOHO_BASE_URL"),
        ({"ZOHO_BASE_URL": "http://www.zohoapis.com"}, "must be https"),
        ({"ZOHO_ACCOUNTS_URL": "https://me:word@accounts.zoho.com"}, "user name or password"),
    ],
)
def test_a_wrong_region_or_host_fails(settings: dict[str, str], text: str) -> None:
    found = checks.hosts(settings)
    assert (found.status, text in found.text) == ("failed", True), found
    assert "word@" not in found.text


def test_the_region_shows_its_hosts() -> None:
    found = checks.hosts({"ZOHO_REGION": "eu"})
    assert (found.status, "https://www.zohoapis.eu" in found.text) == ("ok", True)


def test_the_configuration_says_where_the_credentials_come_from(tmp_path: Path) -> None:
    path = tmp_path / "profiles.json"
    environ = {"ZOHO_ASYNC_PROFILES": str(path)}
    found = checks.configuration(None, environ)
    assert found.status == "failed"
    assert "run `zoho-async login`" in found.text
    assert "--sandbox" in found.advice
    found = checks.configuration(None, environ | {"ZOHO_CLIENT_ID": "a"})
    assert (found.status, found.advice) == ("failed", "")
    assert "ZOHO_CLIENT_SECRET, ZOHO_REFRESH_TOKEN" in found.text
    assert checks.configuration(None, environ | ACCOUNT).status == "ok"
    assert checks.configuration("firm", environ | ACCOUNT).status == "warning"

    secrets = Profile(client_id="a", client_secret="the-secret", refresh_token="the-token")
    Profiles(path).put("default", secrets)
    found = checks.configuration(None, environ)
    assert (found.status, f"profile default, secrets in {path}" in found.text) == ("ok", True)
    assert "known: default" in checks.configuration("firm", environ).text
    if os.name == "posix":
        path.chmod(0o644)
        found = checks.configuration(None, environ)
        assert (found.status, "chmod 600" in found.advice) == ("warning", True)
    Profiles(path).put("default", Profile(client_id="a"))
    assert "ZOHO_CLIENT_SECRET" in checks.configuration(None, environ).text


def test_the_destination_is_checked_and_not_created(tmp_path: Path) -> None:
    for name in ("books", "books.duckdb", "books.sqlite", "new/deep/books.xlsx", "sqlite:b.x"):
        to = name if ":" in name else str(tmp_path / name)
        assert checks.destination(to).status == "ok", to
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for to, text in (
        (str(tmp_path / "books.xls"), "did you mean"),
        (str(tmp_path / "file" / "books"), "is not a directory"),
        (str(tmp_path / "file"), "is not a directory"),
        ("mysql://me:word@host/name", "unknown destination mysql"),
        ("", "--to is empty"),
    ):
        found = checks.destination(to)
        assert (found.status, text in found.text) == ("failed", True), found
        assert "word@" not in found.text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_destination_that_is_not_writable_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = checks.destination(str(tmp_path / "books"))
    tmp_path.chmod(0o700)
    assert (found.status, "may not write" in found.text) == ("failed", True)


def test_a_disk_that_fails_is_a_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shutil.disk_usage", broken)
    found = checks.destination(str(tmp_path / "books"))
    assert (found.status, "Input/output error" in found.text) == ("failed", True)


def test_a_database_that_does_not_answer_fails_without_its_password() -> None:
    found = checks.destination("postgresql://me:the-word@127.0.0.1:9/books")
    assert found.status == "failed"
    assert "the-word" not in found.text + found.advice


def test_an_object_store_is_checked_later() -> None:
    assert checks.destination("s3://bucket/path").status == "skipped"
