"""Tunnel authentication (RFC 2661 section 5.1.1) and hiding (section 4.3), against values of openssl."""

from prol2tp.l2tp.auth import challenge_response, hide, response_is_right, reveal

SECRET = b"s3cret"
CHALLENGE = bytes.fromhex("00112233445566778899aabbccddeeff")
RANDOM_VECTOR = bytes(range(16))


def test_the_response_in_sccrp_and_scccn_differs_by_its_identifier():
    assert challenge_response(2, SECRET, CHALLENGE).hex() == "6e1ca1251f4131a7097f0bdd8d9932cf"
    assert challenge_response(3, SECRET, CHALLENGE).hex() == "8abc9cb65d9cce2f04eb4d140bbd61df"


def test_only_the_right_response_is_right():
    right = challenge_response(3, SECRET, CHALLENGE)
    assert response_is_right(3, SECRET, CHALLENGE, right)
    assert not response_is_right(2, SECRET, CHALLENGE, right)
    assert not response_is_right(3, b"other", CHALLENGE, right)
    assert not response_is_right(3, SECRET, CHALLENGE, right[:15])
    assert not response_is_right(3, SECRET, CHALLENGE, b"")
    assert not response_is_right(3, SECRET, CHALLENGE, None)


def test_one_block_is_hidden_with_the_attribute_type_the_secret_and_the_random_vector():
    plain = bytes.fromhex("0002002a000000000000000000000000")
    hidden = hide(14, plain, SECRET, RANDOM_VECTOR)
    assert hidden.hex() == "a369e4d7c55ef62d0a4c08039b372125"
    assert reveal(14, hidden, SECRET, RANDOM_VECTOR) == plain


def test_later_blocks_are_hidden_with_the_secret_and_the_block_before():
    plain = b"\x00\x10" + b"0123456789abcdef" + b"\xff" * 14
    hidden = hide(21, plain, SECRET, RANDOM_VECTOR)
    assert hidden.hex() == "cb469266023af358be717b0a17a6e6bd93c3d9958609c3ae85460c3dd3849813"
    assert reveal(21, hidden, SECRET, RANDOM_VECTOR) == plain


def test_a_last_block_may_be_short():
    for size in range(40):
        plain = bytes(range(size))
        assert reveal(8, hide(8, plain, SECRET, RANDOM_VECTOR), SECRET, RANDOM_VECTOR) == plain
