"""A client of pyright's language server: what an editor shows at a place of a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast

Question = Literal["hover", "signatureHelp", "completion"]


class Editor:
    """Opens documents in ``folder`` and asks about places in them."""

    def __init__(self, server: subprocess.Popen[bytes], folder: Path) -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        self._to: IO[bytes] = server.stdin
        self._from: IO[bytes] = server.stdout
        self._folder = folder
        self._asked = 0
        self._opened = 0

    def start(self) -> None:
        text = {"contentFormat": ["plaintext"]}
        completion = {"completionItem": {"documentationFormat": ["plaintext"]}}
        signature = {"signatureInformation": {"documentationFormat": ["plaintext"]}}
        document = {"hover": text, "completion": completion, "signatureHelp": signature}
        self._ask(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": self._folder.as_uri(),
                "workspaceFolders": [{"uri": self._folder.as_uri(), "name": "program"}],
                "capabilities": {"textDocument": document},
            },
        )
        self._send({"method": "initialized", "params": {}})

    def ask(self, question: Question, program: str) -> str:
        """The server's answer, as text, at the place that ``|`` marks in ``program``."""
        before, _, after = program.partition("|")
        self._opened += 1
        uri = (self._folder / f"program_{self._opened}.py").as_uri()
        document = {"uri": uri, "languageId": "python", "version": 1, "text": before + after}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        lines = before.split("\n")
        place = {"line": len(lines) - 1, "character": len(lines[-1])}
        answer = self._ask(
            f"textDocument/{question}", {"textDocument": {"uri": uri}, "position": place}
        )
        if question == "completion":
            return " ".join(cast(str, item["label"]) for item in answer["items"])
        return json.dumps(answer, ensure_ascii=False)

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        while True:
            message = self._receive()
            if "method" in message:
                if "id" in message:  # a request of the server, which needs an answer
                    self._send({"id": message["id"], "result": None})
            elif message["id"] == self._asked:
                assert "error" not in message, message["error"]
                return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._to.flush()

    def _receive(self) -> dict[str, Any]:
        length = 0
        while (line := self._from.readline()) != b"\r\n":
            assert line, "the language server has ended"
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message: dict[str, Any] = json.loads(self._from.read(length))
        return message


@contextmanager
def editor(folder: Path) -> Generator[Editor]:
    """Start pyright's language server for programs in ``folder``."""
    python = Path(sys.executable).parent
    server = subprocess.Popen(
        [sys.executable, "-m", "pyright.langserver", "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"},
    )
    with server:
        try:
            opened = Editor(server, folder)
            opened.start()
            yield opened
        finally:
            server.terminate()
