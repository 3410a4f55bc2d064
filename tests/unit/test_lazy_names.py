"""A name that a package loads on first use is that of its module, and other names are refused."""

from __future__ import annotations

from importlib import import_module

import pytest

PACKAGES = ["zoho_async.auth", "zoho_async.limits"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_loads_late_is_that_of_its_module(package: str) -> None:
    public = import_module(package)
    for late, module in public._LATER.items():
        home = import_module(f"{package}.{module}")
        assert public.__getattr__(late) is getattr(home, late)
        assert late in public.__all__


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_refused_as_python_does(package: str) -> None:
    expected = f"^module '{package}' has no attribute 'Nothing'$"
    with pytest.raises(AttributeError, match=expected):
        _ = import_module(package).Nothing
