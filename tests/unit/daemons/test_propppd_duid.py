"""The DUID of the DHCPv6 server, and the file that keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.duid import ServerDUID


class Lines(Log):
    """Keeps what is said."""

    said: list[str] = []  # noqa: RUF012

    def emit(self, level: Level, text: str, /, own: Level | None = None, **values: object) -> None:
        self.said.append(text.format(**values))


@pytest.fixture
def log() -> Lines:
    Lines.said = []
    return Lines("test", Level.DEBUG)


def test_it_is_a_duid_uuid_and_the_same_after_a_restart(tmp_path: Path, log: Lines) -> None:
    first = ServerDUID(str(tmp_path / "state"), log)
    value = first()
    assert len(value) == 18 and value[:2] == b"\0\4"
    # RFC 9562: version 4, variant 10
    assert value[8] >> 4 == 4 and value[10] >> 6 == 2
    assert first() == value == ServerDUID(str(tmp_path / "state"), log)()
    assert log.said == []


@pytest.mark.parametrize("content", ["", "zz", "0004", "0001" + "00" * 16])
def test_a_file_that_is_spoilt_is_replaced(tmp_path: Path, log: Lines, content: str) -> None:
    (tmp_path / "propppd-duid").write_text(content)
    value = ServerDUID(str(tmp_path), log)()
    assert len(log.said) == 1 and str(tmp_path) in log.said[0]
    assert ServerDUID(str(tmp_path), log)() == value


def test_where_nothing_can_be_written_it_lasts_until_the_next_start(tmp_path: Path, log: Lines) -> None:
    (tmp_path / "file").write_text("")
    duid = ServerDUID(str(tmp_path / "file" / "state"), log)
    assert duid() == duid()
    assert len(log.said) == 2 and "it changes at the next start" in log.said[-1]
