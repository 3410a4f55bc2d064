"""Each input of the corpus keeps the promises of its target (`python -m tests.fuzz` finds more)."""

from __future__ import annotations

import pytest

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_breaks_no_promise(target: str) -> None:
    inputs = corpus.inputs(target)
    assert inputs, "the corpus has no input"
    for each in inputs:
        TARGETS[target](each)
