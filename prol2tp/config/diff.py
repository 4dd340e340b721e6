"""What differs between two configurations of one daemon: what a reload has to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Protocol

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


class Configuration(Protocol):
    def blocks(self) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        """All blocks as (kind, name, record). An unnamed block has the name (), one in a named block two
        names."""


@dataclass(slots=True)
class Change:
    """One block that differs. Records hold effective values, so a change of a profile shows at all who
    inherit."""

    kind: str
    """`system`, `tunnel profile`, `session`, `user`, ..."""
    name: tuple[str, ...]
    """() for an unnamed block, (tunnel, session) for a session in a tunnel."""
    action: str
    """`ADDED`, `REMOVED` or `CHANGED`."""
    parameters: tuple[str, ...] = ()
    """Names of the parameters whose effective value changed, in the order of the table."""


def diff(old: Configuration, new: Configuration) -> list[Change]:
    """Changes from old to new: removed blocks first (inner ones before the blocks around them), then the
    others in the order of the new file."""
    before = {(kind, name): record for kind, name, record in old.blocks()}
    after = {(kind, name): record for kind, name, record in new.blocks()}
    changes = [Change(kind, name, REMOVED) for kind, name in reversed(before) if (kind, name) not in after]
    for (kind, name), record in after.items():
        was = before.get((kind, name))
        if was is None:
            changes.append(Change(kind, name, ADDED))
            continue
        changed = changed_parameters(was, record)
        if changed:
            changes.append(Change(kind, name, CHANGED, changed))
    return changes


def describe(change: Change) -> str:
    """For a log: kind, names, what became of it, and the parameters that differ."""
    what = " ".join([change.kind, *(f'"{name}"' for name in change.name)])
    return f"{what} {change.action}" + (f" ({', '.join(change.parameters)})" if change.parameters else "")


def changed_parameters(old: Any, new: Any) -> tuple[str, ...]:
    """Names of the fields that differ between two records; nested records (not compared fields) do not
    count."""
    if old == new:
        return ()
    return tuple(one.name for one in fields(new) if one.compare and getattr(old, one.name) != getattr(new, one.name))
