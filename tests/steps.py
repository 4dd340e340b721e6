"""What a call costs in lines of Python run: the same on every machine, unlike seconds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any


def steps(function: Callable[..., Any], *arguments: Any) -> int:
    """Lines run by `function(*arguments)`; what it raises comes through. Calls into C count nothing."""
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
        return trace

    former, collecting = sys.gettrace(), gc.isenabled()
    gc.disable()  # what others have left is not to end here
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(former)
        if collecting:
            gc.enable()
    return lines
