"""Programs of classic BPF: which packets a unit lets pass, and which ones our own sockets see. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from struct import Struct

_STEP = Struct("=HBBI")
_LD_W, _LD_H, _LD_B, _LDX_MSH = 0x20, 0x28, 0x30, 0xB1
_LD_W_IND = 0x40
_AND, _JA, _JEQ, _JGE, _RET = 0x54, 0x05, 0x15, 0x35, 0x06
_PACKET_TYPE, _VLAN_TAG_PRESENT = 0xFFFFF004, 0xFFFFF030
_OUTGOING = 4
_WHOLE = 0x40000
LONGEST = 4096
"""Instructions that the kernel takes."""
LISTED_MAX = 200
"""Sessions that a program can name."""

Prefix = tuple[bytes, int]


def _step(code: int, value: int = 0, yes: int = 0, no: int = 0) -> bytes:
    return _STEP.pack(code, yes, no, value)


_ACCEPT, _REJECT = _step(_RET, _WHOLE), _step(_RET, 0)


def _in_prefix(at: int, network: bytes, bits: int) -> bytes:
    """Accept when the address at an offset is in a network; else go on behind."""
    tests = []
    for start in range(0, len(network), 4):
        left = min(32, bits - start * 8)
        if left <= 0:
            break
        mask = 0xFFFFFFFF << 32 - left & 0xFFFFFFFF
        tests.append((at + start, mask, int.from_bytes(network[start:start + 4], "big") & mask))
    steps: list[bytes] = []
    sizes = [2 if mask == 0xFFFFFFFF else 3 for _, mask, _ in tests]
    for position, (offset, mask, value) in enumerate(tests):
        steps.append(_step(_LD_W, offset))
        if mask != 0xFFFFFFFF:
            steps.append(_step(_AND, mask))
        steps.append(_step(_JEQ, value, 0, sum(sizes[position + 1:]) + 1))
    return b"".join(steps) + _ACCEPT


def source_check(prefixes: Iterable[Prefix], unspecified: bool) -> bytes:
    """For a unit (`pppdev.set_pass_filter`): what the peer sends must come from one of these networks, or be
    link-local. Empty: too many for a program.

    :param unspecified: IPv6 without a source too, for Router Solicitations.
    """
    networks = list(prefixes)
    ipv4 = b"".join(_in_prefix(16, network, bits) for network, bits in networks if len(network) == 4) + _REJECT
    link_local = (bytes((0xFE, 0x80)) + bytes(14), 10)
    wanted = [link_local, *([(bytes(16), 128)] if unspecified else []), *networks]
    ipv6 = b"".join(_in_prefix(12, network, bits) for network, bits in wanted if len(network) == 16) + _REJECT
    # [0] direction, [2] protocol, [4] the packet; `ret` instead of far jumps, which a step has only 8 bits for
    head = (_step(_LD_B, 0) + _step(_JEQ, 0, 1, 0) + _ACCEPT + _step(_LD_H, 2) + _step(_JEQ, 0x57, 2, 0)
            + _step(_JEQ, 0x21, 2, 0) + _ACCEPT)
    split = _step(_JA, len(ipv4) // _STEP.size)  # ja: over those of IPv4
    program = head + split + ipv4 + ipv6
    return program if len(program) // _STEP.size <= LONGEST else b""


def pppoe_sessions(sessions: Collection[int], others: bytes) -> bytes:
    """For a packet socket of session frames: of frames without a VLAN tag the control protocols, and other packets of
    these sessions. The program `others` decides on the rest. Empty: too many to name."""
    if len(sessions) > LISTED_MAX:
        return b""
    # each line: a condition, and behind it the step that is taken when it does not hold
    conditions = [(_step(_LD_W, _VLAN_TAG_PRESENT), _step(_JEQ, 0, 1, 0)),
                  (_step(_LD_H, 12), _step(_JEQ, 0x8864, 1, 0)),
                  (_step(_LD_B, 20), _step(_JGE, 0x80, 0, 1)), (_step(_LD_H, 16), b"")]
    conditions += [(b"", _step(_JEQ, session, 0, 1)) for session in sessions]
    steps: list[bytes | None] = []
    for load, test in conditions:
        steps += [part for part in (load, test) if part]
        if test:
            steps.append(None)  # a jump to `others`
    steps.append(_REJECT)
    return b"".join([_step(_JA, len(steps) - at - 1) if step is None else step
                     for at, step in enumerate(steps)]) + others


def l2tp_ip_sessions(sessions: Collection[int], ipv6: bool) -> bytes:
    """For a raw socket of protocol 115: control messages, and data of these sessions. Empty: too many to name."""
    if len(sessions) > LISTED_MAX:
        return b""
    load = [_step(_LD_W, 0)] if ipv6 else [_step(_LDX_MSH, 0), _step(_LD_W_IND, 0)]
    steps = list(load)
    for session in (0, *sessions):
        steps += [_step(_JEQ, session, 0, 1), _ACCEPT]
    return b"".join(steps) + _REJECT


def solicitations() -> bytes:
    """For a packet socket without link header: Router Solicitations, and UDP to the DHCPv6 server's port, from others.
    Those behind extension headers are looked at by `Punting`."""
    steps = [
        _step(_LD_W, _PACKET_TYPE), _step(_JEQ, _OUTGOING, 11, 0),
        _step(_LD_B, 6), _step(_JEQ, 58, 0, 2),
        _step(_LD_B, 40), _step(_JEQ, 133, 8, 7),
        _step(_JEQ, 17, 0, 2),
        _step(_LD_H, 42), _step(_JEQ, 547, 5, 4),
        _step(_JEQ, 0, 4, 0), _step(_JEQ, 43, 3, 0), _step(_JEQ, 44, 2, 0), _step(_JEQ, 60, 1, 0),
        _REJECT, _ACCEPT,
    ]  # fmt: skip
    return b"".join(steps)
