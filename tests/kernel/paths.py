"""Which data paths of ours the tests in a guest run on."""

from __future__ import annotations

import pytest

PATHS = pytest.mark.parametrize("path", ["kernel"])
"""On the user path the same passes outside of guests, with other peers."""


def on(path: str, configuration: str) -> str:
    """A configuration of prol2tpd with this data path."""
    assert "system {" in configuration
    return configuration.replace("system {", f"system {{ data_path {path};", 1)
