"""Two ends that compress or encrypt, over good and bad lines."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from prol2tp.ppp.outputs import CompressionUp, LinkDown, NetworkUp
from prol2tp.ppp.settings import LinkSettings
from tests.ppp_ends import Pair, users

SERVER = users(u1="pw1")
LNS = LinkSettings(auth=True, auth_methods=("mschapv2",), name="lns", local_ip="10.0.0.1")
CLIENT = LinkSettings(user="u1", password="pw1", allow_methods=("mschapv2", "chap"))
SETS: list[tuple[str, ...]] = [(), ("deflate",), ("predictor1", "deflate"), ("mppe",), ("mppe", "bsd", "deflate")]


def last_up(pair: Pair, side: int) -> CompressionUp | None:
    ups = [fact for fact in pair.facts[side] if isinstance(fact, CompressionUp)]
    return ups[-1] if ups else None


@pytest.mark.parametrize(("ours", "theirs"), list(product(SETS, SETS)), ids=lambda codecs: "+".join(codecs) or "none")
def test_each_direction_has_the_first_codec_of_its_receiver_that_the_sender_has(
    ours: tuple[str, ...], theirs: tuple[str, ...]
) -> None:
    pair = Pair(replace(LNS, codecs=ours), replace(CLIENT, codecs=theirs), answer=SERVER)
    pair.start()
    pair.run(20.0)
    assert pair.is_up(0) and pair.is_up(1)
    to_us = next((codec for codec in ours if codec in theirs), "")
    to_them = next((codec for codec in theirs if codec in ours), "")
    here, there = last_up(pair, 0), last_up(pair, 1)
    if not to_us and not to_them:
        assert here is None and there is None
        return
    assert here is not None and there is not None
    assert (here.send, here.receive, there.send, there.receive) == (to_them, to_us, to_us, to_them)
    assert (here.send_option, here.receive_option) == (there.receive_option, there.send_option)
    assert (here.send_key, here.receive_key) == (there.receive_key, there.send_key)


@pytest.mark.parametrize("seed", range(120))
def test_encryption_that_is_required_comes_first_on_any_line_or_the_link_ends(seed: int) -> None:
    rate = (seed % 4) * 0.1
    able = seed % 3 != 0
    pair = Pair(
        replace(LNS, codecs=("mppe",), mppe_required=True),
        replace(CLIENT, codecs=("mppe", "deflate") if able else ("deflate",)),
        seed=seed,
        loss=rate,
        duplicate=rate,
        reorder=rate,
        answer=SERVER,
    )
    pair.start()
    pair.run(400.0, until=pair.settled)
    facts = pair.facts[0]
    networks = [place for place, fact in enumerate(facts) if isinstance(fact, NetworkUp)]
    encrypted = [place for place, fact in enumerate(facts) if isinstance(fact, CompressionUp)]
    assert not networks or (able and encrypted[0] < networks[0])
    assert networks or [fact for fact in facts if isinstance(fact, LinkDown)]
    if able and not rate:
        assert networks


@pytest.mark.parametrize(("codecs", "method"), [((), "mschapv2"), (("deflate",), "mschapv2"), (("mppe",), "chap")])
def test_a_link_that_must_be_encrypted_and_cannot_never_comes_up(codecs: tuple[str, ...], method: str) -> None:
    pair = Pair(
        replace(LNS, auth_methods=(method,), mppe_required=True, codecs=codecs),
        replace(CLIENT, codecs=("mppe", "deflate")),
        answer=SERVER,
    )
    pair.start()
    pair.run(60.0)
    assert not pair.ups(0) and not pair.ups(1)
    assert ["MPPE" in fact.message for fact in pair.facts[0] if isinstance(fact, LinkDown)] == [True]
