"""Old faults can be put back: what they replace still exists, and comes back afterwards."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.simulation.old_faults import OLD_FAULTS, OldFault, put_back
from tests.simulation.put_back import FILE, Noticed
from zoho_async.paging import completeness
from zoho_async.paging.completeness import Pass
from zoho_async.paging.plan import PagePlan


def _target(fault: OldFault) -> Any:
    module, _, path = fault.target.partition(":")
    found: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for each in outer:
        found = getattr(found, each)
    return inspect.getattr_static(found, name)


@pytest.mark.parametrize("fault", OLD_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_there_within_the_block_alone(fault: OldFault) -> None:
    before = _target(fault)
    with put_back(fault):
        assert _target(fault) is not before
    assert _target(fault) is before


def test_a_module_that_imported_the_function_by_name_gets_the_fault_too() -> None:
    from zoho_async.export import passes

    fault = OldFault("x", "", (), "zoho_async.paging.completeness:missing", lambda found: _none)
    with put_back(fault):
        assert vars(passes)["missing"] is completeness.missing is _none
    assert vars(passes)["missing"] is completeness.missing is not _none


@pytest.mark.parametrize("target", ["paging.plan:PagePlan.gone", "paging.plan:PagePlan.read"])
def test_a_function_that_is_gone_or_takes_other_arguments_is_noticed(target: str) -> None:
    read = PagePlan.read
    fault = OldFault("x", "", (), f"zoho_async.{target}", lambda found: _none)
    with pytest.raises(LookupError), put_back(fault):
        pass
    assert PagePlan.read is read


def test_the_recorded_faults_are_those_that_can_be_put_back() -> None:
    found = msgspec.json.decode(FILE.read_bytes(), type=list[Noticed])
    assert {one.name for one in found} <= {fault.name for fault in OLD_FAULTS}
    assert all(one.seconds < 480 for one in found)


def _none(passes: Sequence[Pass], records: int) -> int:
    return 0
