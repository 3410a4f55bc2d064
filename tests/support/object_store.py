"""An S3 server on loopback (moto) that counts its requests and refuses those that a test names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server import werkzeug_app  # pyright: ignore[reportMissingTypeStubs]
from moto.s3.models import s3_backends
from s3fs import S3FileSystem  # type: ignore[import-untyped] # it has no types
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET: Final = "lake"
_DENIED: Final = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"""


def forget_clients() -> None:
    """Make programs in this process read their environment again."""
    S3FileSystem.clear_instance_cache()


class _Handler(WSGIRequestHandler):
    """Keeps connections, and sends one Server header: aiohttp refuses the second one of moto."""

    protocol_version = "HTTP/1.1"
    _sent = False

    def send_header(self, keyword: str, value: str) -> None:
        if keyword.lower() == "server":
            if self._sent:
                return
            self._sent = True
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        self._sent = False
        super().end_headers()

    def log(self, type: str, message: str, *args: Any) -> None:
        return None


class S3Server:
    """A server with the bucket ``lake``.

    ``writes`` are the requests that change something, as ``METHOD path``. While ``denies`` returns
    true for a request, it is answered with 403.
    """

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.denies: Callable[[str], bool] | None = None
        self._app = werkzeug_app.create_backend_app("s3")
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Handler
        )
        self._thread = threading.Thread(target=self._server.serve_forever)

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            self.writes.append(request)
        if self.denies is not None and self.denies(request):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [_DENIED]
        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    def __enter__(self) -> S3Server:
        forget_clients()  # they may know another server
        self._thread.start()
        self.empty()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def empty(self) -> None:
        """Remove everything, faults too."""
        self.denies = None
        self.writes.clear()
        self._backend.reset()
        self._backend.create_bucket(BUCKET, "us-east-1")

    @property
    def _backend(self) -> Any:
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]

    def environment(self) -> dict[str, str]:
        """The environment in which programs find the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "s3cret-Passw0rd",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """The objects below ``prefix``, by the rest of their names."""
        keys = self._backend.buckets[BUCKET].keys
        return {
            name.removeprefix(prefix): keys[name].value
            for name in sorted(keys)
            if name.startswith(prefix)
        }

    def files(self, prefix: str = "") -> dict[str, bytes]:
        """The objects that people read: all but those of the checkpoint."""
        objects = self.objects(prefix)
        return {name: objects[name] for name in objects if ".zoho-export/" not in name}

    def put(self, name: str, content: bytes) -> None:
        """Write an object, as another program does."""
        self._backend.put_object(BUCKET, name, content)

    def remove(self, name: str) -> None:
        """Remove an object, as a person does."""
        self._backend.delete_object(BUCKET, name)
