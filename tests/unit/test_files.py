"""The package's own files: one module makes them durable, and nothing else does."""

from __future__ import annotations

import ast
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from zoho_async import files

PACKAGE = Path(files.__file__).parent
#: Files whose content may be lost: a copy for one question, and a counter of a tool.
EXEMPT = {"integrations/mcp/sql_process.py"}
OWN = {"fsync", "link", "rename", "flock", "locking", "ftruncate"}


def durable_calls(tree: ast.AST) -> list[str]:
    """Calls that belong into `zoho_async.files`: of the system, and ``Path.replace``."""
    return [
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in OWN
        or (ast.unparse(node.func) == "os.replace")
        or (node.func.attr == "replace" and len(node.args) == 1 and not node.keywords)
    ]


def test_only_one_module_syncs_renames_and_locks() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): calls
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != Path(files.__file__)
        if path.relative_to(PACKAGE).parts[0] not in ("sandbox", "codegen")
        if (calls := durable_calls(ast.parse(path.read_text("utf-8"))))
    }
    assert found.keys() <= EXEMPT, found


def test_a_failed_replacement_leaves_the_old_content_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.json"
    files.write_private(path, b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.write", full)
        with pytest.raises(OSError, match="No space left"):
            files.write_private(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["tokens.json"]
    assert path.read_bytes() == b"old"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("code", "raises"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_a_directory_is_used_all_the_same(
    code: int, raises: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr("os.fsync", refuse)
    if raises:
        with pytest.raises(OSError, match=os.strerror(code)):
            files.replace_file(tmp_path / "a", b"1")
    else:
        files.replace_file(tmp_path / "a", b"1")
        assert (tmp_path / "a").read_bytes() == b"1"


def test_a_created_file_is_whole_and_an_existing_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "below" / "token"
    assert files.create_private(path, b"1")
    assert not files.create_private(path, b"2")
    assert path.read_bytes() == b"1"
    assert [each.name for each in path.parent.iterdir()] == ["token"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "use", [files.private_database, lambda path: files.create_private(path, b"")]
)
def test_a_file_whose_creator_died_before_its_sync_stays_after_a_power_loss(
    use: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the simulation: the name of a journal was lost with all that it held."""
    synced: list[Path] = []
    path = Path(os.path.realpath(tmp_path)) / "new" / "journal"
    path.parent.mkdir()
    path.touch()
    monkeypatch.setattr(files, "sync_directory", synced.append)
    use(path)
    assert set(synced) == {path.parent, path.parent.parent}
