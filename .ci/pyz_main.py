"""The start of zoho-sandbox.pyz, which `.ci/pyz` builds and explains.

An older Python, even Python 2, must be able to read it, to say that it is too old.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("zoho-sandbox.pyz needs Python 3.11 or newer, this is " + sys.version.split()[0])

import contextlib
import functools
import hashlib
import marshal
import os
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import spec_from_file_location
from zipimport import zipimporter

#: The digest of each compiled module of msgspec, by its name.
BUILDS = {}
ARCHIVE = __loader__.archive


@functools.cache
def bytecode(package):
    """The bytecode of a package for this Python by path, or nothing if the file holds none."""
    name = os.path.join(ARCHIVE, "bytecode", sys.implementation.cache_tag, package)
    try:
        return marshal.loads(__loader__.get_data(name))  # noqa: S302 - our own
    except OSError:
        return {}


class Importer(zipimporter):
    """Imports from this file: bytecode that is there, and the compiled module of msgspec."""

    def find_spec(self, fullname, target=None):
        if fullname == "msgspec._core":
            return spec_from_file_location(fullname, unpacked())
        return super().find_spec(fullname, target)

    def get_filename(self, fullname):  # that of the base class compiles the module
        end = os.sep + "__init__.py" if self.is_package(fullname) else ".py"
        return os.path.join(self.archive, self.prefix + fullname.rpartition(".")[2] + end)

    def get_code(self, fullname):
        name = self.get_filename(fullname)[len(ARCHIVE) + 1 :].replace(os.sep, "/")
        data = bytecode(fullname.partition(".")[0]).get(name)
        return super().get_code(fullname) if data is None else marshal.loads(data)  # noqa: S302


def hook(path):
    if path != ARCHIVE and not path.startswith(ARCHIVE + os.sep):
        raise ImportError(path)
    return Importer(path)


def unpacked():
    """The path of msgspec's compiled module, which Python cannot load from a zip file."""
    names = ["_core" + suffix for suffix in EXTENSION_SUFFIXES]
    name = next((each for each in names if each in BUILDS), None)
    if name is None:
        here = sys.version.split()[0] + " on " + sys.platform
        sys.exit("zoho-sandbox.pyz has no build for Python " + here)
    digest = BUILDS[name]
    try:
        file = os.path.join(cache_folder(), digest, name)
        if not is_whole(file, digest):
            write(file, name)
            if not is_whole(file, digest):
                raise OSError(file)
    except OSError:  # no home, one that cannot be written, or another user's
        import atexit
        import shutil

        folder = tempfile.mkdtemp(prefix="zoho-sandbox-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        file = os.path.join(folder, name)
        write(file, name)
    return file


def cache_folder():
    """The folder of all builds. Raises OSError if there is no home, or the folder is not ours."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    folder = os.path.join(home or os.path.expanduser("~/.cache"), "zoho-sandbox")
    if not os.path.isabs(folder):
        raise OSError(folder)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if hasattr(os, "getuid"):
        status = os.stat(folder)
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise OSError(folder)
    return folder


def is_whole(file, digest):
    """Whether the file is there with the right content. A power cut can leave a part of it."""
    try:
        with open(file, "rb") as module:
            return hashlib.sha256(module.read()).hexdigest().startswith(digest)
    except OSError:
        return False


def write(file, name):
    """Write the module in one step: other starts see all of it or nothing."""
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
    number, part = tempfile.mkstemp(dir=os.path.dirname(file))
    try:
        with open(number, "wb") as out:
            out.write(__loader__.get_data(os.path.join(ARCHIVE, "msgspec", name)))
        os.replace(part, file)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        # On Windows, another start may have written and loaded it by now.
        if not isinstance(error, PermissionError):
            raise


sys.path_hooks.insert(0, hook)
sys.path_importer_cache.pop(ARCHIVE, None)
sys.argv.insert(1, "sandbox")

from zoho_async.cli import main  # noqa: E402

main()
