"""Profiles: where they are stored, and what overrides them."""

from __future__ import annotations

import inspect
import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.errors
import msgspec
import pytest

from tests.support.keyring_in_memory import Ring
from zoho_async import Session
from zoho_async.auth import Profile, Profiles, profile_settings, profiles_path
from zoho_async.auth.stores.keyring import KeyringVault, works
from zoho_async.errors import ConfigurationError

PROFILE = Profile(
    client_id="1000.C",
    client_secret="the-secret",
    refresh_token="the-refresh",
    region="eu",
    organization="10234695",
    scopes=("ZohoBooks.items.READ",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "profiles.json"


@pytest.fixture
def ring() -> Iterator[Ring]:
    before = keyring.get_keyring()
    ring = Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_profiles_are_kept_by_name_for_their_owner_alone(path: Path) -> None:
    profiles = Profiles(path)
    assert profiles.names() == []
    profiles.put("firm", PROFILE)
    profiles.put("other", Profile(client_id="1000.D"))
    assert profiles.names() == ["firm", "other"]
    assert profiles.get("firm") == PROFILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    profiles.remove("firm")
    profiles.remove("firm")
    assert profiles.names() == ["other"]
    assert "the-refresh" not in path.read_text()


def test_with_a_keyring_no_secret_is_in_the_file(path: Path, ring: Ring) -> None:
    from msgspec.structs import replace

    kept = replace(PROFILE, keyring=True)
    profiles = Profiles(path)
    profiles.put("firm", kept)
    assert "the-" not in path.read_text()
    assert profiles.get("firm") == kept
    profiles.remove("firm")
    assert ring.kept == {}


def test_no_secret_shows() -> None:
    assert "the-" not in repr(PROFILE) + repr(PROFILE.credentials) + repr(
        PROFILE.credentials.client
    )


def test_a_keyring_that_only_seems_to_work_is_detected(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert works()

    def broken(*_: str) -> None:
        raise keyring.errors.KeyringLocked("the-secret")

    monkeypatch.setattr(ring, "set_password", broken)
    assert not works()
    with pytest.raises(ConfigurationError, match="--no-keyring") as caught:
        KeyringVault("x").set("a", "the-secret")
    assert "the-secret" not in str(caught.value)


def test_the_file_is_in_the_platforms_config_folder() -> None:
    home = {"HOME": "/home/me"}
    assert profiles_path(home, "linux") == Path("/home/me/.config/zoho-async/profiles.json")
    given = {**home, "XDG_CONFIG_HOME": "/c"}
    assert profiles_path(given, "linux") == Path("/c/zoho-async/profiles.json")
    assert "Application Support" in str(profiles_path(home, "darwin"))
    assert profiles_path({"APPDATA": "/r"}, "win32") == Path("/r/zoho-async/profiles.json")


def environ(path: Path, **more: str) -> dict[str, str]:
    return {"ZOHO_ASYNC_PROFILES": str(path), **more}


async def test_a_session_is_created_from_a_profile(path: Path) -> None:
    Profiles(path).put("default", PROFILE)
    async with Session.from_env(environ(path)) as zoho:
        assert zoho.organization == "10234695"
        assert zoho.api_url == "https://www.zohoapis.eu"
    async with Session.from_env(environ(path), organization=7, region="in") as zoho:
        assert (zoho.organization, zoho.api_url) == ("7", "https://www.zohoapis.in")


async def test_a_session_is_created_from_the_profile_that_is_named(path: Path) -> None:
    Profiles(path).put("default", PROFILE)
    Profiles(path).put("firm", msgspec.structs.replace(PROFILE, organization="2"))
    async with Session.from_env(environ(path), profile="firm") as zoho:
        assert zoho.organization == "2"
    async with Session.from_env(environ(path, ZOHO_PROFILE="firm")) as zoho:
        assert zoho.organization == "2"
    own = environ(path, ZOHO_CLIENT_ID="a", ZOHO_CLIENT_SECRET="b", ZOHO_REFRESH_TOKEN="c")
    async with Session.from_env(own, profile="firm") as zoho:
        assert zoho.organization is None


def test_without_an_account_the_error_names_both_ways(path: Path) -> None:
    both = "run `zoho-async login`, or set the environment variables ZOHO_CLIENT_ID"
    with pytest.raises(ConfigurationError, match=both):
        Session.from_env(environ(path))


def test_from_env_takes_every_option_of_a_session() -> None:
    options = {name for name in inspect.signature(Session).parameters if name != "credentials"}
    assert set(inspect.signature(Session.from_env).parameters) == {*options, "environ", "profile"}


def test_single_variables_win_over_the_profile(path: Path) -> None:
    Profiles(path).put("firm", PROFILE)
    env = environ(path, ZOHO_PROFILE="firm", ZOHO_ORGANIZATION_ID="2")
    settings = profile_settings(environ=env)
    assert settings["ZOHO_ORGANIZATION_ID"] == "2"
    assert settings["ZOHO_REFRESH_TOKEN"] == "the-refresh"


def test_credentials_are_never_mixed(path: Path) -> None:
    Profiles(path).put("default", PROFILE)
    settings = profile_settings(environ=environ(path, ZOHO_REFRESH_TOKEN="another"))
    assert "ZOHO_CLIENT_SECRET" not in settings
    assert "ZOHO_ORGANIZATION_ID" not in settings
    with pytest.raises(ConfigurationError, match="ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET"):
        Session.from_env(settings)


def test_a_missing_profile_raises_with_the_known_names(path: Path) -> None:
    Profiles(path).put("firm", PROFILE)
    with pytest.raises(ConfigurationError, match="known: firm"):
        profile_settings("frim", environ(path))


def test_a_file_of_another_kind_raises_and_is_not_overwritten(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="move it away"):
        Profiles(path).put("firm", PROFILE)
    assert path.read_text() == "{"


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"version":1,"profiles":{"\xff":{}}}'])
def test_a_file_that_holds_no_profiles_says_so_and_what_to_do(content: bytes, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="move it away and log in again"):
        Profiles(path).names()
    with pytest.raises(ConfigurationError, match="move it away and log in again"):
        Profiles(path).put("firm", PROFILE)
    assert path.read_bytes() == content
