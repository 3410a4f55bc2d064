"""Names, paths, locks and the console on Windows, tested on any system.

`ntpath` and the code pages of Python stand in for Windows. What they cannot show (its locks between
processes, its console, renaming files that another program has open) has not been run there.
"""

from __future__ import annotations

import io
import ntpath
import sys
import types
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import hostile
from zoho_async import files as locks
from zoho_async.cli import safe
from zoho_async.http.atomic_file import Draft
from zoho_async.http.file_names import LONGEST, component, file_name
from zoho_async.runtime import state_directory

FOLDER = r"C:\Users\Zoe\books"
RESERVED = (
    "CON",
    "nul",
    "Aux.txt",
    "COM1",
    "lpt9.log",
    "CONOUT$",
    "con .txt",
    "COM¹",
    "nul.tar.gz",
)
SYMBOLS = "\u2026 \u20ac \u20b9 \u2588 \u2713 Zo\u00eb \u65e5\u672c \U0001f600"


def stays_in_folder(name: str) -> bool:
    """Whether Windows takes ``name`` as one entry of `FOLDER`, under exactly that name."""
    whole = ntpath.normpath(ntpath.join(FOLDER, name))
    return (
        ntpath.dirname(whole) == FOLDER
        and ntpath.basename(whole) == name
        and not ntpath.splitdrive(name)[0]
        and ":" not in name  # an alternate data stream
        and not name.endswith((".", " "))  # Windows drops them
    )


@given(st.one_of(st.text(), st.sampled_from((*hostile.EVERY, *RESERVED))))
def test_every_name_is_one_entry_of_its_folder(text: str) -> None:
    for name in (component(text), file_name(text, "document.bin")):
        assert stays_in_folder(name), name
        assert len(name.encode("utf-16-le")) // 2 <= 255


@pytest.mark.parametrize("name", RESERVED)
def test_a_device_is_no_name(name: str) -> None:
    for made in (component(name), file_name(name, "document.bin")):
        assert made != name
        assert not PureWindowsPath(made).is_reserved() if sys.version_info < (3, 13) else True


@pytest.mark.parametrize(
    "name", ["..\\..\\x.pdf", "C:\\x.pdf", "C:x.pdf", "\\\\host\\share\\x.pdf"]
)
def test_a_path_of_windows_becomes_the_name_of_its_file(name: str) -> None:
    assert file_name(name, "document.bin") in {"x.pdf", "C_x.pdf"}


def test_ids_that_differ_in_case_only_have_files_of_their_own() -> None:
    ids = ("abc", "ABC", "Abc", "ä", "Ä", "ß", "SS", "ss", "K", "\u212a", "İ", "i")
    assert len({ntpath.normcase(component(each)).casefold() for each in ids}) == len(ids)


def test_an_id_in_a_deep_folder_stays_below_260_characters() -> None:
    """Text for people may be longer; docs/howto/files.md says what to do."""
    deep = ntpath.join(FOLDER, "books", "invoices", component("x" * 500), component("y" * 500))
    assert len(deep) < 200
    assert len(file_name("y" * 500 + ".pdf", "document.bin")) == LONGEST


def test_two_documents_of_one_name_in_other_case_are_both_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that ignores case and has no hard links, as FAT."""

    def link(source: Path, target: Path) -> None:
        raise OSError(1, "not supported")

    real = Path.exists

    def exists(path: Path) -> bool:
        same = {each.name.casefold() for each in path.parent.iterdir()}
        return path.name.casefold() in same or real(path)

    monkeypatch.setattr("os.link", link)
    monkeypatch.setattr(Path, "exists", exists)
    saved = []
    for name, content in (("May.pdf", b"one"), ("MAY.pdf", b"two"), ("may.PDF", b"three")):
        draft = Draft(tmp_path, name)
        draft.open()
        draft.write([content])
        saved.append(draft.finish())
        draft.clear()
    assert len({path.name.casefold() for path in saved}) == 3
    assert [path.read_bytes() for path in saved] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp932", "ascii", "utf-8"])
def test_the_console_shows_every_text_in_its_code_page(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    console = io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="\r\n")
    monkeypatch.setattr(sys, "stdout", console)
    safe.print(SYMBOLS)
    console.flush()
    shown = raw.getvalue().decode(encoding).removesuffix("\r\n")
    assert shown.encode(encoding)
    assert ("\\u20b9" in shown) == (encoding != "utf-8")
    assert shown.isprintable()


def test_text_that_a_library_prints_does_not_end_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp437", errors="strict"))
    safe.replace_unencodable()
    sys.stdout.write(SYMBOLS)
    sys.stdout.flush()
    assert raw.getvalue().endswith(b"?")


def test_the_state_directory_is_local_to_the_machine() -> None:
    local = state_directory({"LOCALAPPDATA": r"C:\Users\Zoe\AppData\Local"}, "win32")
    assert PureWindowsPath(str(local)) == PureWindowsPath(
        r"C:\Users\Zoe\AppData\Local\zoho-async".replace("\\zoho", "/zoho")
    )
    assert (
        state_directory({"USERPROFILE": "/users/zoe"}, "win32")
        .as_posix()
        .endswith("AppData/Local/zoho-async")
    )


def test_the_lock_waits_for_another_process_and_is_free_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch for Windows, with a `msvcrt` whose lock is taken for the first two tries."""
    held, tries = set[int](), 0

    def locking(file: int, mode: int, size: int) -> None:
        nonlocal tries
        tries += 1
        assert (mode, size) == (2, 1)
        if tries < 3:
            raise PermissionError(13, "Permission denied")
        held.add(file)

    fake: Any = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
    source = Path(locks.__file__).read_text("utf-8")
    module = types.ModuleType("locked_on_windows")
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    code = compile(source.replace('sys.platform == "win32"', "True"), locks.__file__, "exec")
    exec(code, vars(module))
    with vars(module)["locked"](tmp_path / "tokens.lock"):
        assert tries == 3
        assert len(held) == 1
    vars(module)["write_private"](tmp_path / "tokens.json", b"{}")
    assert (tmp_path / "tokens.json").read_bytes() == b"{}"
