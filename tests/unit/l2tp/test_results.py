"""Result and error codes as an operator reads them."""

from prol2tp.l2tp.results import (
    CDN,
    DISCONNECT_CAUSE,
    ERROR,
    LOST_TIE,
    STOPCCN,
    UNSUPPORTED_PSEUDOWIRE_TYPE,
    result_text,
)


def test_the_codes_of_the_rfc_all_have_a_text():
    assert set(STOPCCN) >= set(range(8))
    assert set(CDN) >= {*range(12), *range(13, 26)}
    assert set(ERROR) >= set(range(9))
    assert set(DISCONNECT_CAUSE) == set(range(21))


def test_result_error_and_message_stand_on_one_line():
    assert result_text("CDN", 3) == "administrative reasons"
    assert result_text("CDN", 2, 7, "no room") == 'general error, try another: "no room"'
    assert result_text("StopCCN", 6) == "requester is being shut down"


def test_version_3_has_results_of_its_own():
    assert result_text("CDN", LOST_TIE) == "losing tie breaker"
    assert result_text("CDN", UNSUPPORTED_PSEUDOWIRE_TYPE) == "unsupported pseudowire type"


def test_with_a_refused_version_the_error_code_is_the_version_that_would_do():
    assert result_text("StopCCN", 5, 1) == "protocol version of the requester is not supported, version 1 is"


def test_unknown_codes_are_shown_as_numbers():
    assert result_text("CDN", 77, 99) == "result 77, error 99"


def test_the_peer_s_text_cannot_break_the_line_or_the_encoding():
    text = result_text("CDN", 3, 0, "a\nb\x1b[31m\udcff\u2028")
    assert text == 'administrative reasons: "a\\nb\\x1b[31m\\udcff\\u2028"'
    text.encode("utf-8")
