"""Keys for Microsoft Point-to-Point Encryption, derived from MS-CHAP (RFC 3079). Nothing is encrypted here: a data path
that can do so is given the keys."""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple

from prol2tp.ppp.mschap import hash_nt_password_hash

_PAD_1 = bytes(40)
_PAD_2 = b"\xf2" * 40
_MASTER = b"This is the MPPE Master Key"
_CLIENT_SENDS = b"On the client side, this is the send key; on the server side, it is the receive key."
_SERVER_SENDS = b"On the client side, this is the receive key; on the server side, it is the send key."
_SALTS = {40: b"\xd1\x26\x9e", 56: b"\xd1", 128: b""}
"""Known octets at the start of weaker session keys (sections 2.1, 2.2, 3.1)."""


class Keys(NamedTuple):
    """Start keys of one link, as this end uses them."""

    send: bytes
    receive: bytes

    def __repr__(self) -> str:
        return "<Keys hidden>"


def _sha(data: bytes) -> bytes:
    return sha1(data, usedforsecurity=False).digest()


def master_key(nt_hash: bytes, nt_response: bytes) -> bytes:
    """RFC 3079 section 3.4, GetMasterKey: 16 octets."""
    return _sha(hash_nt_password_hash(nt_hash) + nt_response + _MASTER)[:16]


def start_keys_v2(nt_hash: bytes, nt_response: bytes, authenticator: bool) -> Keys:
    """Start keys from MS-CHAPv2 (RFC 3079 section 3.4, GetAsymmetricStartKey), 16 octets each; those of the weaker
    strengths are their first 8. RADIUS has them as MS-MPPE-Send-Key and MS-MPPE-Recv-Key (RFC 2548).

    :param authenticator: we are the server of the exchange.
    """
    master = master_key(nt_hash, nt_response)
    to_server, to_client = (_sha(master + _PAD_1 + magic + _PAD_2)[:16] for magic in (_CLIENT_SENDS, _SERVER_SENDS))
    return Keys(to_client, to_server) if authenticator else Keys(to_server, to_client)


def start_key_v1(nt_hash: bytes, challenge: bytes) -> bytes:
    """The start key of both directions from MS-CHAPv1, for 128 bits (RFC 3079 section 2.4): there the weaker ones are
    made of the LM hash, which we do not have.

    :param challenge: the 8 octets of the Challenge.
    """
    return start_key_v1_of_server(hash_nt_password_hash(nt_hash), challenge)


def start_key_v1_of_server(hash_of_hash: bytes, challenge: bytes) -> bytes:
    """The same from the hash of the password's hash, 16 octets: what RADIUS servers put into MS-CHAP-MPPE-Keys as
    NT-Key (RFC 2548 section 2.4.1)."""
    return _sha(hash_of_hash + hash_of_hash + challenge)[:16]


def session_key(start_key: bytes, bits: int) -> bytes:
    """The first session key (RFC 3079 section 3.4, GetNewKeyFromSHA): 8 octets for 40 and 56 bits, 16 for 128."""
    length = 16 if bits == 128 else 8
    start = start_key[:length]
    key = _sha(start + _PAD_1 + start + _PAD_2)[:length]
    salt = _SALTS[bits]
    return salt + key[len(salt) :]
