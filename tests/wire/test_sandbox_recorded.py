"""The sandbox beside recorded traffic: the same keys, types, statuses and messages.

The recordings lie outside the repository; where they are not, these tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.wire.raw import Answer, Raw, raw
from zoho_async.sandbox import Sandbox

_RECORDED = Path(__file__).parents[3] / "shared" / "reference" / "recorded" / "books"

pytestmark = pytest.mark.skipif(
    not _RECORDED.is_dir(), reason=f"the recorded exchanges are not at {_RECORDED}"
)

#: Keys that the sandbox adds to recorded ones: this made-up firm has custom fields.
_OWN = ("cf_",)


def recorded(name: str) -> Any:
    return json.loads((_RECORDED / f"{name}.json").read_text())


@pytest.fixture
async def zoho() -> AsyncIterator[Raw]:
    sizes = {"contacts": 40, "projects": 6, "invoices": 10, "items": 10}
    async with raw(Sandbox(sizes=sizes)) as client:
        yield client


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where two JSON values differ in keys or types; blanks stand for any type."""
    if ours in ("", [], {}) or theirs in ("", [], {}):
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        kept = {name for name in ours if not name.startswith(_OWN)}
        found = [f"{where}: {name} is ours alone" for name in kept - set(theirs)]
        found += [f"{where}: {name} is missing" for name in set(theirs) - kept]
        for name in kept & set(theirs):
            if name != "custom_field_hash":
                found += differences(ours[name], theirs[name], f"{where}.{name}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list):
        return differences(ours[0], theirs[0], f"{where}[]")
    same = type(ours) is type(theirs)
    return [] if same else [f"{where}: {type(ours).__name__}, not {type(theirs).__name__}"]


def assert_alike(answer: Answer, recording: Any) -> None:
    assert answer.status == recording["status"]
    assert differences(answer.json, recording["response"]) == []
    assert answer.json["message"] == recording["response"]["message"]
    for header in ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"):
        assert answer.headers[header].isdigit()
    assert answer.headers["content-type"] == recording["headers"]["content-type"]
    assert ("location" in answer.headers) == ("location" in recording["headers"])


def ids(zoho: Raw, resource: str, single: str) -> list[str]:
    return [msgspec.json.decode(row)[f"{single}_id"] for row in zoho.sandbox.truth(resource)]


@pytest.mark.parametrize(
    ("resource", "column", "name"),
    [
        ("contacts", "contact_name", "contacts__contacts_all-02"),
        ("projects", "project_name", "projects__projects_all-02"),
    ],
)
async def test_lists_are_as_recorded(zoho: Raw, resource: str, column: str, name: str) -> None:
    recording = recorded(name)
    answer = await zoho.get(
        f"/{resource}", page=1, per_page=100, sort_column=column, sort_order="A"
    )
    assert_alike(answer, recording)
    ours, theirs = answer.json["page_context"], recording["response"]["page_context"]
    assert ours == theirs
    assert list(ours) == list(theirs)


@pytest.mark.parametrize(
    ("resource", "single", "name"),
    [
        ("contacts", "contact", "contacts__contacts_find-02"),
        ("projects", "project", "projects__projects_find-02"),
    ],
)
async def test_records_are_as_recorded(zoho: Raw, resource: str, single: str, name: str) -> None:
    for record_id in ids(zoho, resource, single):
        answer = await zoho.get(f"/{resource}/{record_id}", page=1, per_page=100)
        found = differences(answer.json, recorded(name)["response"])
        assert found == []


async def test_writes_of_contacts_are_answered_as_recorded(zoho: Raw) -> None:
    created = recorded("contacts__contacts_create-01")
    made = await zoho.call("POST", "/contacts", data=created["request_body"], page=1)
    assert_alike(made, created)
    path = f"/contacts/{made.json['contact']['contact_id']}"
    assert made.headers["location"] == f"/api/v3{path}"
    updated = recorded("contacts__contacts_update-02")
    assert_alike(await zoho.call("PUT", path, data=updated["request_body"]), updated)
    for verb in ("inactivate", "activate"):
        recording = recorded(f"contacts__contacts_{verb}-02")
        last = recording["uri"].partition("?")[0].rpartition("/")[2]
        assert_alike(await zoho.call("POST", f"{path}/{last}", data="{}"), recording)
    assert_alike(await zoho.call("DELETE", path), recorded("contacts__contacts_destroy-02"))


async def test_writes_of_projects_are_answered_as_recorded(zoho: Raw) -> None:
    created = recorded("projects__projects_create-01")
    body = json.loads(created["request_body"])
    body["customer_id"] = ids(zoho, "contacts", "contact")[0]
    made = await zoho.call("POST", "/projects", data=json.dumps(body))
    assert_alike(made, created)
    path = f"/projects/{made.json['project']['project_id']}"
    updated = recorded("projects__projects_update-02")
    body = json.loads(updated["request_body"]) | {"customer_id": body["customer_id"]}
    assert_alike(await zoho.call("PUT", path, data=json.dumps(body)), updated)
    cloned = recorded("projects__projects_clone-02")
    assert_alike(await zoho.call("POST", f"{path}/clone", data=cloned["request_body"]), cloned)
    for verb in ("inactivate", "activate"):
        recording = recorded(f"projects__projects_{verb}-02")
        last = recording["uri"].partition("?")[0].rpartition("/")[2]
        assert_alike(await zoho.call("POST", f"{path}/{last}", data="{}"), recording)
    assert_alike(await zoho.call("DELETE", path), recorded("projects__projects_destroy-02"))
