"""A warning fails a test where it is about our own code, and only there."""

import warnings

import pytest
from install import FOLDERS


def _warn_of(module):
    warnings.warn_explicit("soon gone", DeprecationWarning, "file.py", 1, module=module)


def test_a_warning_about_each_of_our_packages_is_an_error(root):
    packages = [
        file.parent.name for folder in FOLDERS for file in (root / folder).glob("*/__init__.py")
    ]
    assert len(packages) >= 8
    for module in (*packages, "gridos.api.health", "canary.commands.rehearse", __name__):
        with pytest.raises(DeprecationWarning):
            _warn_of(module)


def test_a_warning_of_this_test_is_an_error():
    with pytest.raises(UserWarning, match="here"):
        warnings.warn("here", stacklevel=1)


@pytest.mark.parametrize("module", ["flask.app", "locust", "gevent.hub", "gridosphere", "asyncio"])
def test_a_warning_about_a_dependency_is_shown_and_fails_nothing(module, recwarn):
    _warn_of(module)
    assert [str(warning.message) for warning in recwarn] == ["soon gone"]
