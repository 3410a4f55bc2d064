"""Files that an agent can propose: only what is in a named folder, and only as it was proposed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zoho_async.errors import ConfigurationError
from zoho_async.integrations.mcp import uploads
from zoho_async.integrations.mcp.allowed import operation_named, operations
from zoho_async.integrations.mcp.uploads import (
    ProposedFile,
    checked_folders,
    file_fields,
    proposed_files,
    read_files,
)
from zoho_async.operation import FILE_SIZE

ATTACH = operation_named("books.bills.add_attachment")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("key")
    (tmp_path / "bills" / "2026").mkdir(parents=True)
    (tmp_path / "bills" / "a.pdf").write_bytes(b"%PDF-1")
    (tmp_path / "bills" / "2026" / "b.pdf").write_bytes(b"%PDF-2")
    return checked_folders([tmp_path / "bills"])[0]


def proposed(path: str, folder: Path) -> ProposedFile:
    (file,) = proposed_files(ATTACH, {"attachment": path}, [folder])
    return file


@pytest.mark.parametrize("path", ["a.pdf", "2026/b.pdf", "2026/../a.pdf"])
def test_a_file_in_the_folder_is_read_and_bound_by_its_digest(path: str, folder: Path) -> None:
    file = proposed(path, folder)
    upload = read_files([file])["attachment"]
    assert upload.content == Path(file.path).read_bytes()
    Path(file.path).write_bytes(b"%PDF-other")
    with pytest.raises(ConfigurationError, match="has changed"):
        read_files([file])
    Path(file.path).unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_files([file])


def test_an_absolute_path_in_the_folder_is_taken(folder: Path) -> None:
    assert proposed(str(folder / "a.pdf"), folder) == proposed("a.pdf", folder)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_nothing_outside_of_the_folder_can_be_reached(folder: Path) -> None:
    secret = folder.parent / "secret"
    (folder / "link.pdf").symlink_to(secret)
    (folder / "up").symlink_to(folder.parent)
    (folder.parent / "bills-other").mkdir()
    (folder.parent / "bills-other" / "c.pdf").write_bytes(b"%PDF")
    os.mkfifo(folder / "pipe.pdf")
    (folder / "large.pdf").write_bytes(b"x" * (FILE_SIZE + 1))
    for path in (
        *("../secret", str(secret), "link.pdf", "up/secret", "../bills-other/c.pdf", "missing.pdf"),
        *(".", "", "2026", "pipe.pdf", "large.pdf", "/etc/passwd", "~/x", "a.pdf\x00", "x" * 5000),
    ):
        with pytest.raises(ConfigurationError):
            proposed(path, folder)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_link_that_is_put_there_after_the_check_is_not_followed(folder: Path) -> None:
    files = [proposed("a.pdf", folder), proposed("2026/b.pdf", folder)]
    (folder / "a.pdf").unlink()
    (folder / "a.pdf").symlink_to(folder.parent / "secret")
    (folder / "2026").rename(folder / "old")
    (folder / "2026").symlink_to(folder / "old")
    for file in files:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_files([file])


def test_fields_without_files_folders_and_operations_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="takes attachment"):
        proposed_files(ATTACH, {"other": "a.pdf"}, [folder])
    with pytest.raises(ConfigurationError, match="takes no files"):
        proposed_files(operation_named("contacts.create"), {"file": "a.pdf"}, [folder])
    with pytest.raises(ConfigurationError, match="no file in a folder"):
        proposed_files(ATTACH, {"attachment": str(folder / "a.pdf")}, [])
    with pytest.raises(ConfigurationError, match="is no folder"):
        checked_folders([folder / "missing"])


def test_every_write_has_its_operation_in_its_module() -> None:
    writes = [facts for facts in operations().values() if facts.method != "GET"]
    taking = [facts for facts in writes if file_fields(facts)]
    assert len(taking) > 50
    for facts in taking:
        assert uploads.operation_of(facts).name == facts.name
