"""``zoho-async schema`` shows described and observed columns, and calls nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import export_observed
from tests.support.export_observed import Place, run
from zoho_async.cli.app import app
from zoho_async.errors import ConfigurationError
from zoho_async.export.destinations import Sqlite


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert app(["schema", *arguments], result_action="return_value", exit_on_error=False) == 0
    return capsys.readouterr().out


def test_described_columns_are_shown_with_their_types(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "invoices").splitlines()
    assert lines[0] == "books_invoices"
    assert ["total", "decimal"] in [line.split() for line in lines]
    assert "books_invoices__custom_fields" in lines


def test_a_json_schema_has_the_same_columns(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(shown(capsys, "invoices", "--json"))
    assert schema["title"] == "books.invoices"
    assert schema["properties"]["date"] == {"type": ["string", "null"], "format": "date"}
    inside = schema["properties"]["custom_fields"]["items"]["properties"]
    assert inside["value"] == {"type": ["string", "null"]}


def test_observed_columns_of_a_destination_are_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "books.sqlite"
    row = b'{"invoice_id": "1", "cf_region": "North", "cf_score_unformatted": 5}'
    run(Place(lambda: Sqlite(path), list), "a", [[row]])
    lines = [line.split() for line in shown(capsys, "--to", str(path)).splitlines()]
    assert ["cf_region", "text", "observed"] in lines
    assert ["cf_score_unformatted", "decimal", "observed"] in lines
    assert export_observed.FACTS.resource == "books.invoices"


def test_a_destination_without_an_export_is_refused_and_not_made(tmp_path: Path) -> None:
    for name in ("none.sqlite", "none"):
        with pytest.raises(ConfigurationError, match="holds no export"):
            app(["schema", "--to", str(tmp_path / name)], result_action="return_value")
        assert not (tmp_path / name).exists()
