"""The sandbox has the same keys, types, statuses and messages as recorded traffic.

``recorded_exchanges.json`` has what was recorded of Books in 2024, reduced to that: names and ids
are made up, texts and numbers stand for their type, and a list has its first element.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import msgspec
import pytest

from tests.support.plain_client import Answer, PlainClient, raw
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.api.router import resolve
from zoho_async.sandbox.coverage import RECORDED

_FILE = Path(__file__).parents[1] / "support" / "recorded_exchanges.json"
_RECORDED: dict[str, Any] = {each["name"]: each for each in json.loads(_FILE.read_text("utf-8"))}

#: Keys that the sandbox adds to recorded ones: this made-up firm has custom fields.
_OWN = ("cf_",)


@pytest.fixture
async def zoho() -> AsyncIterator[PlainClient]:
    sizes = {"contacts": 40, "projects": 6, "invoices": 10, "items": 10}
    async with raw(Sandbox(sizes=sizes)) as client:
        yield client


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Return where two JSON values differ in keys or types. A blank has any type."""
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


def ids(zoho: PlainClient, resource: str, single: str) -> list[str]:
    return [msgspec.json.decode(row)[f"{single}_id"] for row in zoho.sandbox.truth(resource)]


@pytest.mark.parametrize(
    ("resource", "column", "name"),
    [
        ("contacts", "contact_name", "contacts__contacts_all-02"),
        ("projects", "project_name", "projects__projects_all-02"),
    ],
)
async def test_lists_are_as_recorded(
    zoho: PlainClient, resource: str, column: str, name: str
) -> None:
    recording = _RECORDED[name]
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
async def test_records_are_as_recorded(
    zoho: PlainClient, resource: str, single: str, name: str
) -> None:
    for record_id in ids(zoho, resource, single):
        answer = await zoho.get(f"/{resource}/{record_id}", page=1, per_page=100)
        found = differences(answer.json, _RECORDED[name]["response"])
        assert found == []


# -- everything that was recorded ---------------------------------------------------------------

#: Headers that the sandbox does not send: it has no build version and lists no methods.
_HEADERS_LEFT_OUT = ("allow", "build_version", "server_build_version")
#: How often each difference comes, in all stories together. The firm that was recorded has no
#: custom fields; the sandbox's has three, in each row by name and as hashes too.
_KNOWN = (
    {"contacts[].custom_fields: 3 elements, not 0": 1}
    | {
        f"contacts[].{place}cf_{name}{form}: ours alone": 1
        for place in ("", "custom_field_hash.")
        for name in ("region", "renewal", "score")
        for form in ("", "_unformatted")
    }
    | dict.fromkeys((f"header {name}: missing" for name in _HEADERS_LEFT_OUT), 43)
)
_STORIES = sorted({name.rpartition("-")[0] for name in _RECORDED})
_ID = re.compile(r"\b(\d{9}|\d{19})\b")


def strict(ours: Any, theirs: Any, where: str) -> Iterator[str]:
    """Yield where two JSON values differ in keys or types. A blank is a string."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        yield from (f"{where}{name}: ours alone" for name in ours.keys() - theirs.keys())
        yield from (f"{where}{name}: missing" for name in theirs.keys() - ours.keys())
        for name in ours.keys() & theirs.keys():
            below = isinstance(ours[name], dict) and isinstance(theirs[name], dict)
            yield from strict(ours[name], theirs[name], f"{where}{name}" + "." * below)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if bool(ours) != bool(theirs):
            yield f"{where}: {len(ours)} elements, not {len(theirs)}"
        rows = [[strict(own, their, f"{where}[].") for their in theirs[:1]] for own in ours]
        yield from {each for row in rows for found in row for each in found}
    elif type(ours) is not type(theirs):
        yield f"{where}: {type(ours).__name__}, not {type(theirs).__name__}"


class Replay:
    """Sends recorded requests to a sandbox, with the sandbox's ids instead of the recorded ones."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self._sandbox = sandbox
        self._http = http
        self._headers = {"Content-Type": "application/json"}
        #: What was there before the story began: any contact will do.
        self._other = msgspec.json.decode(sandbox.truth("contacts")[0])["contact_id"]
        self._ids = {"100000001": sandbox.organization}

    def _ours(self, text: str) -> str:
        return _ID.sub(lambda found: self._ids.get(found[1], self._other), text)

    async def differences(self, recording: Any) -> list[str]:
        """Return the differences between the sandbox's reply and the recorded one."""
        uri = urlsplit(recording["uri"])
        is_token = uri.path.endswith("/token")
        body: Any = self._ours(recording["request_body"] or "")
        if is_token:
            own = {"client_id": self._sandbox.client_id}
            own["client_secret"] = self._sandbox.client_secret
            body = dict(parse_qsl(body)) | own
        async with self._http.request(
            recording["method"],
            self._sandbox.url + self._ours(uri.path),
            params=parse_qsl(self._ours(uri.query)),
            data=body or None,
            headers={} if is_token else self._headers,
        ) as answer:
            value = await answer.json(content_type=None)
        theirs = recording["response"]
        assert answer.status == recording["status"]
        if is_token:
            self._headers["Authorization"] = f"Zoho-oauthtoken {value['access_token']}"
        else:
            assert value["message"] == theirs["message"]
        for single in {"contact", "project"} & theirs.keys() & value.keys():
            self._ids[theirs[single][f"{single}_id"]] = value[single][f"{single}_id"]
        sent = {name.lower(): text for name, text in answer.headers.items()}
        for name, text in recording["headers"].items():
            if name in ("content-type", "location"):
                assert sent.get(name) == self._ours(text)
        missing = recording["headers"].keys() - sent.keys()
        return [*strict(value, theirs, ""), *(f"header {name}: missing" for name in missing)]


async def test_every_recorded_request_gets_the_recorded_reply() -> None:
    found = Counter[str]()
    count = 0
    for story in _STORIES:
        async with Sandbox(sizes={"contacts": 3, "projects": 2}) as box:
            async with aiohttp.ClientSession() as http:
                replay = Replay(box, http)
                for name, recording in _RECORDED.items():
                    if name.rpartition("-")[0] == story:
                        count += 1
                        found.update(await replay.differences(recording))
            assert box.unknown == []
    assert count == len(_RECORDED) == 60
    assert found == _KNOWN


def test_the_operations_marked_as_recorded_are_those_of_the_recordings() -> None:
    found: set[str] = set()
    for each in _RECORDED.values():
        target = resolve(each["method"], urlsplit(each["uri"]).path)
        if target is not None:
            assert target.route is not None
            found.add(target.route.facts.name)
    assert found == RECORDED
