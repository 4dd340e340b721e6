"""Why PPP ended, from RADIUS's words to L2TP's and back."""

from __future__ import annotations

import pytest

from prol2tp.daemons.prol2tpd.causes import cause_of, disconnect_of, result_of
from prol2tp.l2tp.avptable import DisconnectCause
from prol2tp.l2tp.results import DISCONNECT_CAUSE
from prol2tp.ppp.causes import CAUSES


@pytest.mark.parametrize(("cause", "result", "told"), [
    ("Admin Reset", (3, 0), (1, 0)),
    ("Peer Request", (1, 0), (3, 1)),
    ("Idle Timeout", (1, 0), (3, 2)),
    ("Peer Dead", (1, 0), (8, 0)),
    ("Authentication Failed", (1, 0), (16, 0)),
    ("NAS Error", (2, 6), None),
    ("Lost Carrier", (1, 0), None),
])
def test_the_end_of_ppp_is_told_by_result_code_and_disconnect_cause(cause, result, told):
    assert result_of(cause) == result
    disconnect = disconnect_of(cause)
    assert (None if disconnect is None else (disconnect.code, disconnect.direction)) == told


@pytest.mark.parametrize("lost", [True, False])
def test_what_the_peer_says_is_a_cause_that_accounting_knows_and_silence_is_judged_by_who_ended_it(lost):
    silence = "Lost Carrier" if lost else "Admin Reset"
    assert cause_of(None, lost) == silence
    for code in (*DISCONNECT_CAUSE, 21, 255, 65535):
        for direction in range(4):
            assert cause_of(DisconnectCause(code, 0, direction, "text"), lost) in CAUSES
    assert cause_of(DisconnectCause(0, 0, 0), lost) == silence
    assert cause_of(DisconnectCause(3, 0, 1), lost) == "Peer Request"
    assert cause_of(DisconnectCause(3, 0, 0), lost) == silence
    assert cause_of(DisconnectCause(8, 0xC021, 0), lost) == "Peer Dead"


@pytest.mark.parametrize("cause", ["Peer Request", "Peer Dead", "Authentication Failed", "Loopback", "Admin Reset"])
def test_two_of_us_understand_each_other(cause):
    assert cause_of(disconnect_of(cause), True) == cause
