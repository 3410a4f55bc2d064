"""Files that a model can propose to upload: only those in folders that the user named.

Model
-----
A model names a path, and a text in the books may have suggested it: ``../../.ssh/id_ed25519``. A
link in the folder can point anywhere, and can be changed between a check and its use.

Invariant
---------
What is uploaded is the content of a regular file in a named folder, and the one whose digest was
proposed and shown.

Why it holds
------------
The path is resolved and must be in a folder. Then each of its parts is opened from the folder on,
and none of them may be a link (`O_NOFOLLOW`; not on Windows). The content is read into memory once:
these bytes are digested, compared and sent. A file outside and a missing file are the same error.

Unknown
-------
A hard link has no other path, so it counts as a file of the folder.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.http.upload import Upload
from zoho_async.importer import JournaledWrite
from zoho_async.operation import FILE_SIZE, Operation
from zoho_async.session import Session
from zoho_async.wire.text import untyped


class ProposedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a proposal. ``folder`` and ``path`` are resolved, ``digest`` is SHA-256."""

    field: str
    folder: str
    path: str
    size: int
    digest: str

    @property
    def name(self) -> str:
        return Path(self.path).name


def checked_folders(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return ``folders`` resolved. Raises `ConfigurationError` for one that does not exist."""
    for folder in folders:
        if not folder.is_dir():
            raise ConfigurationError(f"--uploads {folder} is no folder")
    return tuple(folder.resolve() for folder in folders)


def proposed_files(
    facts: OperationFacts, files: Mapping[str, str], folders: Sequence[Path]
) -> tuple[ProposedFile, ...]:
    """Return the files of a proposal, by field of the operation. Reads them.

    Raises `ConfigurationError` for a field that takes no file, and for a file that is in none of
    ``folders``, too large or not regular.
    """
    if not files:
        return ()
    taken = file_fields(facts)
    for field in files:
        if field not in taken:
            known = ", ".join(taken) or "no files"
            raise ConfigurationError(f"{facts.name} takes {known}, not {field!r}")
    return tuple(_proposed(field, path, folders) for field, path in files.items())


def _proposed(field: str, path: str, folders: Sequence[Path]) -> ProposedFile:
    for folder in folders:
        try:
            found = (folder / path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # a loop of links is a RuntimeError until 3.12
            continue
        if found.is_relative_to(folder) and found != folder:
            content = _content(folder, found)
            return ProposedFile(
                field=field,
                folder=str(folder),
                path=str(found),
                size=len(content),
                digest=hashlib.sha256(content).hexdigest(),
            )
    raise ConfigurationError(f"{path!r} is no file in a folder that --uploads names")


def read_files(files: Sequence[ProposedFile]) -> dict[str, Upload]:
    """Return the files to send. Raises `ConfigurationError` if one has changed or is gone."""
    found: dict[str, Upload] = {}
    for file in files:
        content = _content(Path(file.folder), Path(file.path))
        if hashlib.sha256(content).hexdigest() != file.digest:
            raise ConfigurationError(f"{file.path} has changed since it was proposed")
        found[file.field] = Upload(file.name, content)
    return found


def _content(folder: Path, path: Path) -> bytes:
    """Read a regular file below ``folder`` without following links."""
    try:
        descriptor = _opened(folder, path)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(f"{path} is no regular file")
            content = file.read(FILE_SIZE + 1)
    except OSError as problem:
        raise ConfigurationError(f"{path} cannot be read: {problem.strerror}") from None
    if len(content) > FILE_SIZE:
        raise ConfigurationError(f"{path} is larger than {FILE_SIZE:,} bytes, the most Zoho takes")
    return content


def _opened(folder: Path, path: Path) -> int:
    if os.name != "posix":
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    *above, name = path.relative_to(folder).parts
    at = os.open(folder, flags | os.O_DIRECTORY)
    try:
        for part in above:
            below = os.open(part, flags | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, flags | os.O_NONBLOCK, dir_fd=at)  # a pipe must not block
    finally:
        os.close(at)


# -- the operation ------------------------------------------------------------------------------


def file_fields(facts: OperationFacts) -> list[str]:
    """Return the fields of an operation's form that take a file."""
    parameters = _parameters(facts)
    return [name for name, kind in parameters.items() if "Upload" in str(kind)]


def _parameters(facts: OperationFacts) -> dict[str, Any]:
    """The parameters of the generated function, by name, with their types."""
    module = importlib.import_module(f"zoho_async.{facts.resource}")
    function = getattr(module, facts.name.rpartition(".")[2])
    found = inspect.signature(function).parameters
    return {name: parameter.annotation for name, parameter in found.items()}


def operation_of(facts: OperationFacts) -> Operation[Any]:
    """Return the operation of the generated function, with its rules for files."""
    module = importlib.import_module(f"zoho_async.{facts.resource}")
    found: Operation[Any] = getattr(module, f"_{facts.name.rpartition('.')[2].upper()}")
    return found


async def send_files(
    zoho: Session, facts: OperationFacts, write: JournaledWrite, files: Mapping[str, Upload]
) -> None:
    """Make the request of ``write`` as a form with ``files``. Raises as `Session.call` does."""
    body: Any = untyped(write.body) if write.body else None
    takes_json = "extra_body" in _parameters(facts)
    await zoho.call(
        operation_of(facts),
        ids=write.ids,
        query=write.query,
        extra_body=body if takes_json else None,
        fields=None if takes_json else body,
        files=files,
    )
