"""docs/reliability.md is what the committed figures make."""

from __future__ import annotations

from tests.simulation.page import PAGE, committed, page


def test_the_page_is_made_of_the_committed_figures() -> None:
    assert PAGE.read_text("utf-8") == page(committed())


def test_a_section_without_figures_says_so() -> None:
    assert page({}).count("No run has been recorded yet.") == 4
