"""Read and write the objects below one address of an object store, through fsspec.

Facts (S3 since 2020 and 2024, Google Cloud Storage, Azure Blob Storage; tried against moto):

- A list shows an object as soon as its write has returned.
- A write becomes visible as a whole, or not at all, also in parts of a large file.
- An object can be created on the condition that it does not exist (`ObjectStore.create`).
- There is no append, no rename and no lock.

fsspec finds credentials and settings in the environment, as the tools of each store do. An address
never holds a secret: one with a password, a key or a query is refused and not repeated.

The calls block. fsspec runs them on one separate thread, so they can be called from any thread.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from zoho_async.export.errors import DestinationError, MissingExtra, library

_PORTION: Final = 16 << 20  # bytes of a large file that are in memory, per connection


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """How fsspec reaches a kind of store."""

    library: str
    install: str
    #: Options of the file system and of uploads, which bound the memory of a large file.
    options: dict[str, Any] = {}
    upload: dict[str, Any] = {}


_S3: Final = _Kind(
    library="s3fs",
    install="zoho-async[s3]",
    options={"max_concurrency": 2},
    upload={"chunksize": _PORTION, "max_concurrency": 2},
)
_GOOGLE: Final = _Kind(library="gcsfs", install="gcsfs", upload={"chunksize": _PORTION})
_AZURE: Final = _Kind(library="adlfs", install="adlfs", options={"max_concurrency": 2})
KINDS: Final = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GOOGLE,
    "gcs": _GOOGLE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "az": _AZURE,
}
_ADDRESS: Final = re.compile(r"([a-z0-9]+)://([^/]+)(/.*)?")
_NETWORK: Final = "check the network and the address, and run the same command again to continue"
_ACCESS: Final = (
    "check the credentials in the environment; they must allow to list, read, write and delete "
    "objects there"
)
_BUCKET: Final = "create it first, or correct the address"
_WORDS: Final = 300  # characters of a store's message that are shown


def is_remote(to: str) -> bool:
    """Whether ``to`` is an address of an object store."""
    scheme, found, _ = to.partition("://")
    return bool(found) and scheme in KINDS


class ObjectStore:
    """The objects below ``address``. Paths are relative to it, with ``/``.

    Every method blocks, and raises `DestinationError`.
    """

    def __init__(self, address: str) -> None:
        """Check the address, without a call. Raises `DestinationError` and `MissingExtra`."""
        self.name: Final = _check_address(address)
        self._kind: Final = KINDS[self.name.partition(":")[0]]
        if importlib.util.find_spec(self._kind.library) is None:
            raise MissingExtra(
                f"{self.name} needs {self._kind.library}, which is not installed; "
                f"install it with: pip install '{self._kind.install}'"
            )
        self._files: Any = None
        self._root = ""

    def connect(self) -> None:
        """Load the library. It connects on the first call."""
        fsspec = library("fsspec", "s3", self.name)
        with self._errors():
            self._files, self._root = fsspec.core.url_to_fs(
                self.name,
                use_listings_cache=False,
                **self._kind.options,
            )

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"

    # -- objects ----------------------------------------------------------------------------------

    def read(self, path: str) -> bytes | None:
        """Return the content of an object; None if it does not exist."""
        with self._errors():
            try:
                content: bytes = self._files.cat_file(self._path(path))
            except FileNotFoundError:
                return None
            return content

    def write(self, path: str, content: bytes) -> None:
        """Create or replace an object."""
        with self._errors():
            self._files.pipe_file(self._path(path), content)

    def create(self, path: str, content: bytes) -> None:
        """Create an object. Raises `DestinationError` if it exists."""
        with self._errors():
            self._files.pipe_file(self._path(path), content, mode="create")

    def upload(self, file: Path, path: str) -> None:
        """Upload a file of any size in bounded memory."""
        with self._errors():
            self._files.put_file(str(file), self._path(path), **self._kind.upload)

    def download(self, path: str, file: Path) -> None:
        """Download an object of any size in bounded memory."""
        with (
            self._errors(),
            file.open("wb") as target,
            self._files.open(self._path(path), "rb", block_size=_PORTION) as source,
        ):
            shutil.copyfileobj(source, target, _PORTION)

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the store."""
        with self._errors():
            self._files.cp_file(self._path(source), self._path(target))

    def remove(self, path: str) -> None:
        """Remove an object. It may be gone already."""
        with self._errors():
            try:
                self._files.rm_file(self._path(path))
            except FileNotFoundError:
                return

    def time_written(self, path: str) -> datetime | None:
        """Return when an object was written, by the store's clock; None if it does not exist."""
        with self._errors():
            try:
                moment: datetime = self._files.modified(self._path(path))
            except FileNotFoundError:
                return None
            return moment

    # -- lists ------------------------------------------------------------------------------------

    def list_objects(self, folder: str) -> dict[str, int]:
        """Return the objects directly in ``folder``, as names with their bytes."""
        return {name: size for name, size, kind in self._entries(folder) if kind == "file"}

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders directly in ``folder``; "" is the address itself."""
        return sorted(name for name, _, kind in self._entries(folder) if kind == "directory")

    def _entries(self, folder: str) -> list[tuple[str, int, str]]:
        path = self._path(folder).rstrip("/")
        with self._errors():
            try:
                found: list[dict[str, Any]] = self._files.ls(path, detail=True)
            except FileNotFoundError:
                return []
        named = [
            (str(one["name"]).rstrip("/").removeprefix(f"{path}/"), one.get("size") or 0, one)
            for one in found
        ]
        return [(name, size, one["type"]) for name, size, one in named if name and "/" not in name]

    def find(self, folder: str) -> list[str]:
        """Return the paths of all objects below ``folder``."""
        with self._errors():
            try:
                found: list[str] = self._files.find(self._path(folder))
            except FileNotFoundError:
                return []
        return [one.removeprefix(f"{self._root}/") for one in found if not one.endswith("/")]

    # -- errors -----------------------------------------------------------------------------------

    @contextmanager
    def _errors(self) -> Generator[None]:
        """Raise what a library raises as `DestinationError`. Each store has its own errors."""
        try:
            yield
        except DestinationError:
            raise
        except Exception as problem:
            cause, advice = _cause_and_advice(problem)
            # The chain may show requests with their signatures, so it ends here.
            raise DestinationError(self.name, cause, advice) from None


def _check_address(address: str) -> str:
    """Return the address without a slash at its end. Never repeats one that it refuses."""
    scheme = address.partition("://")[0]
    found = _ADDRESS.fullmatch(address)
    example = f"{scheme}://bucket/path"
    if found is None:
        raise DestinationError(example, "the address names no bucket", f"write {example}")
    container = scheme.startswith("ab") and found[2].count("@") == 1 and ":" not in found[2]
    if ("@" in found[2] and not container) or ":" in found[2] or set("?#") & set(address):
        raise DestinationError(
            example,
            "the address may hold a password, a key or a query",
            "leave it out: credentials come from the environment, for example AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    parts = (found[3] or "").removeprefix("/").removesuffix("/").split("/")
    if parts != [""] and ({"", ".", ".."} & set(parts) or not address.isprintable()):
        raise DestinationError(
            example, "the path has an empty part, a dot or a character that is not text", ""
        )
    return "/".join([f"{scheme}://{found[2]}", *filter(None, parts)])


def _cause_and_advice(problem: Exception) -> tuple[str, str]:
    """Return the cause and the advice for an error of a store's library."""
    if isinstance(problem, PermissionError):
        return f"the store refuses access ({_plain(problem)})", _ACCESS
    if isinstance(problem, FileNotFoundError):
        return f"the bucket does not exist ({_plain(problem)})", _BUCKET
    if "Credential" in type(problem).__name__:
        return f"no credentials were found ({_plain(problem)})", _ACCESS
    return _plain(problem), _NETWORK


def _plain(problem: Exception) -> str:
    """Return the words of an error, without the queries of URLs, which can be signatures."""
    words = re.sub(r"\?\S+", "?...", str(problem) or type(problem).__name__)
    return "".join(one if one.isprintable() else " " for one in words)[:_WORDS]


@contextmanager
def scratch_file(folder: Path) -> Generator[Path]:
    """A temporary file in ``folder``."""
    with tempfile.TemporaryDirectory(prefix="zoho-async-", dir=folder) as inside:
        yield Path(inside, "scratch")
