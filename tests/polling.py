"""Waiting for descriptors. select(2) knows none above 1023, of which a long run of tests has some."""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import Any


def readable(descriptors: Iterable[Any], seconds: float) -> list[Any]:
    """Those that can be read, after at most so long; as select.select gives them."""
    poll = select.poll()
    known = {one if isinstance(one, int) else one.fileno(): one for one in descriptors}
    for number in known:
        poll.register(number, select.POLLIN)
    return [known[number] for number, _ in poll.poll(max(0.0, seconds) * 1000)]
