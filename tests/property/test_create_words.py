"""Whatever the words of `propppctl create` are: a request, or one line that says what is wrong."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.config.links import PROFILE
from prol2tp.control.command import Invalid
from prol2tp.daemons.propppd import create

KNOWN = sorted({
    *create.FLAGS, *create.VALUES, *create.PASSED_OVER, *PROFILE.parameters, "profile", "unit", "plugin", "nic-eth0",
    "rp-pppoe.so", "asyncmap", "default-asyncmap", "require-chap", "refuse-pap", "refuse-chap",
    *(word for kind in create.REQUESTS for word in (*create.WORDS[kind], *create.FIELD_FLAGS[kind])),
})  # fmt: skip
VALUES = ("0", "7", "1492", "115200", "99999999999", "-1", "eth0", "/dev/ttyS0", "a0000", "0xff", "11,13,ff",
          "10.0.0.1", "10.0.0.1:10.0.0.2", ":", "true", "none", "", "\0", "é" * 300, "%u%d")
WORDS = st.one_of(st.sampled_from(KNOWN), st.sampled_from(VALUES), st.text(max_size=20))


NEEDED = {"pppol2tp": ["tunnel-id", "1", "session-id", "2"], "pppoe": ["interface", "eth0"], "tty": ["ttyS0"]}


@given(st.sampled_from([*create.REQUESTS, "ppp"]), st.lists(WORDS, max_size=12))
def test_words_give_a_request_or_one_line(kind, words):
    try:
        request = create.parse([kind, *words])
    except Invalid as error:
        assert str(error) and "\n" not in str(error)
        return
    assert request.kind == kind
    create.check(request.options)
    if isinstance(request, create.PPPoERequest):
        assert request.interface and 0 <= request.vlan <= 4094 and 1 <= request.padi_attempts <= 1000
    elif isinstance(request, create.TtyRequest):
        assert request.device.count("/") and 0 <= request.speed < 1 << 32


@settings(max_examples=1500)
@given(st.sampled_from(list(NEEDED)), st.lists(WORDS, max_size=3))
def test_a_few_words_more_or_less_give_a_request_or_one_line(kind, words):
    try:
        request = create.parse([kind, *NEEDED[kind], *words])
    except Invalid as error:
        assert str(error) and "\n" not in str(error)
        return
    create.check(request.options)


@given(st.one_of(st.none(), st.integers(), st.text(), st.dictionaries(st.text(), st.text()),
                 st.lists(st.one_of(st.integers(), st.none(), st.lists(st.text())), min_size=1)))
def test_what_is_no_list_of_words_is_refused(words):
    try:
        create.parse(words)
    except Invalid:
        return
    raise AssertionError(words)
