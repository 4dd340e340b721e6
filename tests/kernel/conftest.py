"""Two hosts on one cable, `lac` 10.99.0.2 and `lns` 10.99.0.1, in a guest (tools/test --kernel)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.conftest import LAC, LNS, pytest_runtest_makereport  # noqa: F401
from tests.netns import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        lac, lns = made.namespace("lac"), made.namespace("lns")
        made.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        yield made
