"""One function held against one described operation: what every part of its proof works on."""

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
    """``others`` are words of other descriptions of the same operation: for parameters and answers.

    ``problems`` and ``patches`` gather the differences: those that no patch explains, and the rest.
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
        """The media type that the function asks for."""
        operation = self.function.operation
        return JSON if isinstance(operation, ListOperation) else operation.accept

    @property
    def has_forms(self) -> bool:
        """Whether the caller of the described operation chooses the form of its answer."""
        accept = self.parameter("accept")
        return accept is not None and "pdf" in f"{accept.text} {accept.example}"

    def goes_with_a_file(self, name: str) -> bool:
        """Whether ``name`` is described as a field of the form or body that a file comes in."""
        forms = (self.properties(self.described.form), self.properties(self.described.body))
        return any(name in form and _FILES & form.keys() for form in forms)

    def parameter(self, name: str) -> Parameter | None:
        """The described parameter of the query called ``name``."""
        return self.described.placed("query").get(name)

    def properties(self, schema: Schema | None) -> Schema:
        """What ``schema`` says of the properties of an object."""
        properties: Schema = self.described.document.follow(schema).get("properties") or {}
        return properties
