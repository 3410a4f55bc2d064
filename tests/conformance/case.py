"""One function and the described operation that it is checked against."""

from __future__ import annotations

from typing import Final

from tests.conformance.corrections import Correction
from tests.conformance.functions import Function
from tests.conformance.official import Described, Parameter, Schema
from tests.conformance.patches import Patches
from zoho_async.operation import ListOperation

_FILES: Final = frozenset({"attachment", "receipt", "image", "back_image"})
JSON: Final = "application/json"
ORGANIZATION: Final = "10234695"


class Case:
    """The pair under test. ``others`` are other descriptions of the same operation.

    ``problems`` are the differences that no patch explains; ``patches`` are the others.
    """

    def __init__(self, described: Described, function: Function, others: frozenset[str]) -> None:
        self.described: Final = described
        self.function: Final = function
        self.others: Final = others
        self.correction: Final = Correction(described)
        self.patches: Final = Patches()
        self.problems: Final[list[str]] = []

    @property
    def is_list(self) -> bool:
        return isinstance(self.function.operation, ListOperation)

    @property
    def accept(self) -> str:
        """The media type that the function requests."""
        operation = self.function.operation
        return JSON if isinstance(operation, ListOperation) else operation.accept

    @property
    def has_forms(self) -> bool:
        """Whether callers of the described operation choose the form of its reply."""
        accept = self.parameter("accept")
        return accept is not None and "pdf" in f"{accept.text} {accept.example}"

    def goes_with_a_file(self, name: str) -> bool:
        """Whether ``name`` is described as a field of a file upload's form or body."""
        forms = (self.properties(self.described.form), self.properties(self.described.body))
        return any(name in form and _FILES & form.keys() for form in forms)

    def parameter(self, name: str) -> Parameter | None:
        """The described query parameter called ``name``."""
        return self.described.placed("query").get(name)

    def properties(self, schema: Schema | None) -> Schema:
        """The described properties of an object."""
        properties: Schema = self.described.document.follow(schema).get("properties") or {}
        return properties
