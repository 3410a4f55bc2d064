"""``zoho-async doctor`` against a sandbox: each thing that can be wrong, and no secret shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, serving
from zoho_async.auth import Profile, Profiles
from zoho_async.cli import doctor
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with serving(Sandbox(sizes={"books.items": 1})) as zoho:
        yield zoho


class Doctor:
    """Runs the command, and keeps that no secret is in its output."""

    def __init__(self, zoho: Sandbox, command: Command) -> None:
        self.zoho = zoho
        self._command = command

    def __call__(self, *arguments: str) -> dict[str, Any]:
        """Run with ``--json``: the checks by name."""
        report = self._command.json("doctor", *arguments)
        checks = {each["name"]: each for each in report["checks"]}
        failed = any(each["status"] == "failed" for each in checks.values())
        assert report["exit_code"] == int(failed)
        self._assert_no_secret(str(report))
        return checks

    def text(self, *arguments: str) -> str:
        _, out, err = self._command("doctor", *arguments)
        assert err == ""
        self._assert_no_secret(out)
        return out

    def _assert_no_secret(self, text: str) -> None:
        secrets = (self.zoho.client_secret, *self.zoho.refresh_tokens, "wrong-secret")
        assert not any(each in text for each in (*secrets, *self.zoho.accounts.live_tokens))


@pytest.fixture
def examine(sandbox: Sandbox, command: Command) -> Doctor:
    return Doctor(sandbox, command)


def test_a_working_account_costs_one_call_and_one_token(examine: Doctor, tmp_path: Path) -> None:
    zoho = examine.zoho
    checks = examine("--to", str(tmp_path / "books"))
    assert {each["status"] for each in checks.values()} == {"ok"}
    assert [each.path for each in zoho.arrivals] == ["/books/v3/organizations"]
    assert [each.method for each in zoho.arrivals] == ["GET"]
    assert zoho.token_requests == 1
    text = examine.text()
    assert "0 checks failed, 0 warnings" in text
    assert max(map(len, text.splitlines())) <= 80
    assert zoho.token_requests == 1  # the stored token is used
    assert not (tmp_path / "books").exists()


def test_without_any_configuration_it_says_what_to_do_first(
    examine: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in examine.zoho.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("ZOHO_ASYNC_PROFILES", str(tmp_path / "none.json"))
    checks = examine()
    assert checks["configuration"]["status"] == "failed"
    assert "run `zoho-async login`" in checks["configuration"]["text"]
    assert checks["token"]["status"] == "skipped"
    assert examine.zoho.calls == examine.zoho.token_requests == 0
    assert "zoho-async login" in examine.text()


@pytest.mark.parametrize(
    ("name", "value", "check", "text"),
    [
        ("ZOHO_CLIENT_SECRET", "wrong-secret", "token", "ZOHO_CLIENT_SECRET"),
        ("ZOHO_REFRESH_TOKEN", "1000.wrong", "token", "ZOHO_REFRESH_TOKEN"),
        ("ZOHO_CLIENT_ID", "1000.OTHER", "token", "ZOHO_CLIENT_ID"),
        ("ZOHO_REGION", "usa", "region", "unknown region"),
        ("ZOHO_ORGANIZATION_ID", "3", "organization", "10234695"),
        ("ZOHO_ORGANIZATION_ID", "three", "limits", "organization must be a number"),
        ("ZOHO_BASE_URL", "http://127.0.0.1:9", "token", "no connection"),
        ("ZOHO_ASYNC_LEDGER", "/dev/null/limits.sqlite", "limits", "cannot open the ledger"),
    ],
)
def test_a_wrong_setting_fails_where_it_matters(
    examine: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    check: str,
    text: str,
) -> None:
    monkeypatch.setenv(name, value)
    checks = examine()
    assert (checks[check]["status"], text in checks[check]["text"]) == ("failed", True), checks
    assert [each for each in checks if checks[each]["status"] == "failed"] == [check]


def test_without_an_organization_it_lists_them(
    examine: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOHO_ORGANIZATION_ID")
    found = examine()["organization"]
    assert (found["status"], "10234695" in found["text"]) == ("warning", True)


@pytest.mark.parametrize(
    ("offset", "status"), [(-20.0, "ok"), (100.0, "warning"), (-100.0, "warning"), (4000, "failed")]
)
def test_the_clock_is_compared_with_zohos(
    examine: Doctor, monkeypatch: pytest.MonkeyPatch, offset: float, status: str
) -> None:
    right = SYSTEM_CLOCK

    class Wrong:
        def time(self) -> float:
            return right.time() + offset

        def monotonic(self) -> float:
            return right.monotonic()

    monkeypatch.setattr(doctor, "SYSTEM_CLOCK", Wrong())
    found = examine()["clock"]
    assert (found["status"], "NTP" in found["advice"]) == (status, status != "ok")
    if status != "ok":
        assert ("ahead" if offset > 0 else "behind") in found["text"]


def test_a_missing_scope_fails(examine: Doctor) -> None:
    examine.zoho.tokens.scope = "ZohoBooks.contacts.READ"
    checks = examine()
    assert checks["scopes"]["status"] == "failed"
    assert "ZohoBooks.settings.READ" in checks["scopes"]["text"]
    assert checks["token"]["status"] == "warning"


def test_the_scopes_of_a_profile_must_cover_the_named_lists(
    examine: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoho = examine.zoho
    for name in ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN"):
        monkeypatch.delenv(name)
    path = tmp_path / "profiles.json"
    monkeypatch.setenv("ZOHO_ASYNC_PROFILES", str(path))
    profile = Profile(
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        refresh_token=zoho.refresh_token,
        scopes=("ZohoBooks.settings.READ", "ZohoBooks.invoices.ALL"),
    )
    Profiles(path).put("default", profile)
    assert examine("invoices", "items")["scopes"]["status"] == "ok"
    found = examine("invoices", "contacts")["scopes"]
    assert (found["status"], "ZohoBooks.contacts.READ" in found["text"]) == ("failed", True)


def test_used_up_limits_are_warnings_that_say_how_long(examine: Doctor) -> None:
    examine.zoho.limits.per_day = 1
    examine()
    checks = examine()
    assert checks["limits"]["status"] == "warning", checks


def test_unknown_lists_are_wrong_usage(examine: Doctor, command: Command) -> None:
    code, out, err = command("doctor", "invoicess")
    assert (code, out) == (2, "")
    assert "invoices" in err


def test_the_advice_about_a_token_fits_where_the_account_comes_from(
    examine: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", "wrong-secret")
    assert "unset them" in examine()["token"]["advice"]
    monkeypatch.setenv("ZOHO_ACCOUNTS_URL", "http://127.0.0.1:9")
    advice = examine()["token"]["advice"]
    assert ("network" in advice, "login" in advice) == (True, False)
