"""External names become file names that every system can store and that stay in the directory."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import hostile
from zoho_async.http.file_names import LONGEST, component, disposition_name, file_name

_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{name}{digit}" for name in ("com", "lpt") for digit in "0123456789¹²³"
}

ANYTHING = st.one_of(st.text(st.characters(exclude_categories=())), st.sampled_from(hostile.EVERY))


def check_storable(name: str, most: int) -> None:
    assert name
    assert len(name.encode()) <= most
    assert not re.search(r'[/\\<>:"|?*\x00-\x1f\x7f]', name)
    assert name == name.strip(" .")
    assert not name.startswith("-")
    assert name.partition(".")[0].rstrip().lower() not in _DEVICES
    assert not [each for each in name if unicodedata.category(each)[0] == "C"]


@pytest.mark.parametrize("text", hostile.EVERY)
def test_an_id_becomes_one_component_that_every_system_stores(text: str) -> None:
    check_storable(component(text), 60)


@given(ANYTHING)
def test_any_id_becomes_one_component_that_every_system_stores(text: str) -> None:
    check_storable(component(text), 60)
    assert "_" not in component(text)


@given(ANYTHING, ANYTHING)
@example("victim~2cc6427d2e88ec99", "../../victim")
def test_two_ids_never_share_a_component_whatever_a_file_system_folds(a: str, b: str) -> None:
    one, other = (unicodedata.normalize("NFKC", component(each)).casefold() for each in (a, b))
    assert (one == other) == (a == b)


@pytest.mark.parametrize("pair", hostile.TWINS)
def test_twins_get_components_of_their_own(pair: tuple[str, str]) -> None:
    assert component(pair[0]).casefold() != component(pair[1]).casefold()


def test_the_ids_of_zoho_stay_as_they_are() -> None:
    assert component("460000000026049") == "460000000026049"


@pytest.mark.parametrize("text", hostile.EVERY)
def test_a_file_name_is_one_that_every_system_stores(text: str) -> None:
    check_storable(file_name(text, "document.bin"), LONGEST)


@given(ANYTHING)
def test_any_file_name_is_one_that_every_system_stores(text: str) -> None:
    check_storable(file_name(text, "document.bin"), LONGEST)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("請求書" * 30 + ".pdf", "請求書" * 21 + "請求.pdf"),
        ("x" * 300 + ".jpeg", "x" * 195 + ".jpeg"),
        ("../../receipt.png", "receipt.png"),
        ("May: 50%?.pdf", "May_ 50%_.pdf"),
        ("CON.pdf", "_CON.pdf"),
        ("-rf.pdf", "_rf.pdf"),
        ("a\u202efdp.exe", "afdp.exe"),
        ("注文\u3000書.pdf", "注文 書.pdf"),
        ("e\u0301.pdf", "é.pdf"),
        ("..", "document.bin"),
        ("", "document.bin"),
    ],
)
def test_a_file_name_keeps_what_a_person_reads(text: str, name: str) -> None:
    assert file_name(text, "document.bin") == name


def test_a_long_extension_does_not_make_a_short_name_longer() -> None:
    for most in range(3, 40):
        name = file_name("invoice number one.extension-of-20-byte", "", most)
        assert 0 < len(name.encode()) <= most


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename=\"x\"; filename*=UTF-8''Re%C3%A7u.pdf", "Reçu.pdf"),
        ("attachment; filename*=UTF-8''Re%C3%A7u.pdf; filename=x", "Reçu.pdf"),
        ("attachment; filename*=ISO-8859-1''na%EFve.pdf", "naïve.pdf"),
        ('attachment; filename="=?UTF-8?B?UmXDp3UucGRm?="', "Reçu.pdf"),
        ("attachment; filename==?UTF-8?Q?Re=C3=A7u=2Epdf?=", "Reçu.pdf"),
        ('attachment; filename="a \\"b\\" c.pdf"', 'a "b" c.pdf'),
        ('attachment; filename="a;b.pdf"; size=3', "a;b.pdf"),
        ("attachment; filename=a b.pdf", "a b.pdf"),
        ("attachment; filename=C:\\temp\\a.pdf", "C:\\temp\\a.pdf"),
        ('attachment; filename*0="long"; filename*1="er.pdf"', "longer.pdf"),
        ('attachment; FileName="A.pdf"', "A.pdf"),
        ('attachment; filename="Reçu.pdf"', "Reçu.pdf"),
        ('attachment; filename="Re\udce7u.pdf"', "Reçu.pdf"),  # Latin-1 bytes in the header
        ('attachment; filename="=?bogus?B?xx?="', "=?bogus?B?xx?="),
        ("attachment; filename*=bogus''%FF.pdf", "ÿ.pdf"),
        ("attachment", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_header_is_read_in_each_of_its_forms(header: str, name: str) -> None:
    assert disposition_name(header) == name


@given(
    st.lists(
        st.sampled_from(
            [
                "filename",
                "*",
                "*0",
                "*1*",
                "=",
                '"',
                ";",
                "UTF-8''",
                "%C3",
                "%",
                "=?",
                "?=",
                "?B?",
                "\\",
                " ",
                "a",
            ]
        )
        | ANYTHING
    ).map("".join)
)
def test_no_header_stops_a_document(header: str) -> None:
    name = disposition_name(f"attachment; filename{header}")
    check_storable(file_name(name, "document.bin"), LONGEST)
