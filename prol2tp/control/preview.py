"""What a reload would do, as the answer of `PreviewReload`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

MOST = 300
"""Changes in one answer."""
MOST_NAMES = 20
"""Names of what ends, and parameters, in one change."""

DROPS, OPENS, AT_ONCE, LATER, RESTART, NOTHING = "drops", "opens", "at once", "later", "restart", "nothing"
_ORDER = (DROPS, OPENS, AT_ONCE, RESTART, LATER, NOTHING)


class Effect(NamedTuple):
    """Of one change. `drops`: what ends, by id and name; `why`: the reason, for people."""

    word: str
    why: str
    drops: Sequence[str] = ()


def preview(changes: Iterable[tuple[Any, Effect]]) -> dict[str, Any]:
    """Of changes of `config.diff` with their effects."""
    found = sorted(changes, key=lambda pair: _ORDER.index(pair[1].word))
    return {
        "changes": [_row(change, effect) for change, effect in found[:MOST]],
        "total": len(found),
        "drops": sum(effect.word == DROPS for _, effect in found),
    }


def _row(change: Any, effect: Effect) -> dict[str, Any]:
    return {
        "kind": change.kind, "name": [name[:100] for name in change.name], "action": change.action,
        "parameters": _few(change.parameters), "effect": effect.word, "drops": _few(effect.drops), "why": effect.why,
    }


def _few(names: Sequence[str]) -> list[str]:
    more = len(names) - MOST_NAMES
    return [*names[:MOST_NAMES], f"and {more} more"] if more > 0 else list(names)
