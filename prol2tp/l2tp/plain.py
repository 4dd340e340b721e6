"""Settings and messages as JSON-able data and back, for records that outlive a process."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from prol2tp.l2tp import messages3
from prol2tp.l2tp.messages import MESSAGES
from prol2tp.l2tp.pseudowire import Pseudowire
from prol2tp.l2tp.settings import AccessLine, SessionSettings, TunnelSettings

_TYPES: dict[str, type] = {
    record.__name__: record for record in (*MESSAGES, AccessLine, SessionSettings, TunnelSettings, Pseudowire)
} | {f"{record.__name__} of version 3": record for record in messages3.MESSAGES}
_NAMES = {record: name for name, record in _TYPES.items()}


RECORD = "record"
"""Key of the name of a record; no field has it."""


def to_plain(value: Any) -> Any:
    """A dataclass becomes `{"record": NAME, ...}` with the fields that are not default; bytes `{"hex": ...}`."""
    if is_dataclass(value) and not isinstance(value, type):
        plain = {RECORD: _NAMES[type(value)]}
        for field in fields(value):
            content = getattr(value, field.name)
            if field.default is MISSING or content != field.default:
                plain[field.name] = to_plain(content)
        return plain
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, tuple):
        return [to_plain(one) for one in value]
    return value


def from_plain(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(from_plain(one) for one in plain)
    if not isinstance(plain, dict):
        return plain
    if "hex" in plain:
        return bytes.fromhex(plain["hex"])
    return _TYPES[plain[RECORD]](**{name: from_plain(value) for name, value in plain.items() if name != RECORD})
