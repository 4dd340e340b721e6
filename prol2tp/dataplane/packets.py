"""Rules over one IP packet as octets: MSS clamp, fragmentation, "too big" errors. Pure; a bad packet is left alone."""

from __future__ import annotations

from struct import Struct

_U16 = Struct("!H")
_U32 = Struct("!I")

ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58
EXTENSIONS = b"\0\x2b\x3c"
"""IPv6 extension headers that do not hide what follows: Hop-by-Hop Options, Routing, Destination Options."""
MINIMUM_MTU4 = 68
MINIMUM_MTU6 = 1280
_ONES = 0xFFFF


def checksum(data: bytes, start: int = 0) -> int:
    """The Internet checksum (RFC 1071) of `data`, added to the unfolded `start`."""
    if len(data) & 1:
        data += b"\0"
    # the one's complement sum is the number modulo 0xffff: one big division beats a loop over the words
    total = int.from_bytes(data, "big") % _ONES + start
    while total > _ONES:
        total = (total & _ONES) + (total >> 16)
    return ~total & _ONES


def _adjusted(old_checksum: int, old: int, new: int) -> int:
    """The checksum after one word has changed (RFC 1624, equation 3)."""
    total = (~old_checksum & _ONES) + (~old & _ONES) + new
    while total > _ONES:
        total = (total & _ONES) + (total >> 16)
    return ~total & _ONES


def traffic_class(packet: bytes) -> int:
    """The DS field of an IPv4 or IPv6 packet of at least 2 octets."""
    if packet[0] >> 4 == 4:
        return packet[1]
    return (packet[0] << 4 | packet[1] >> 4) & 0xFF


def upper_layer6(packet: bytes) -> tuple[int, int]:
    """What an IPv6 packet of at least 40 octets carries behind its extension headers (RFC 8200 section 4.1), and where
    that begins; of a fragment the protocol is that of the Fragment header. A broken chain gives (-1, 0)."""
    protocol, position, size = packet[6], 40, len(packet)
    while protocol in EXTENSIONS:
        if position + 8 > size:
            return -1, 0
        protocol, position = packet[position], position + 8 + 8 * packet[position + 1]
    return (protocol, position) if position <= size else (-1, 0)


def clamp_mss(packet: bytes, mtu: int) -> bytes:
    """The packet with the MSS option of a TCP SYN lowered to what `mtu` carries; else the very same object."""
    size = len(packet)
    version = packet[0] >> 4 if size else 0
    if version == 4:
        start = (packet[0] & 0x0F) * 4
        if start < 20 or size < start + 20 or packet[9] != TCP or (packet[6] & 0x1F or packet[7]):
            return packet
        limit = mtu - 40
    elif version == 6:
        if size < 60:
            return packet
        protocol, start = upper_layer6(packet)
        if protocol != TCP or size < start + 20:
            return packet
        limit = mtu - 60
    else:
        return packet
    if not packet[start + 13] & 0x02 or limit < 1:
        return packet
    position = start + 20
    end = min(start + (packet[start + 12] >> 4) * 4, size)
    while position < end:
        kind = packet[position]
        if kind == 0:
            break
        if kind == 1:
            position += 1
            continue
        if position + 2 > end:
            break
        length = packet[position + 1]
        if length < 2 or position + length > end:
            break
        if kind == 2 and length == 4:
            return _with_mss(packet, start, position + 2, limit)
        position += length
    return packet


def _with_mss(packet: bytes, start: int, position: int, limit: int) -> bytes:
    old = _U16.unpack_from(packet, position)[0]
    if old <= limit:
        return packet
    changed = bytearray(packet)
    _U16.pack_into(changed, position, limit)
    where = start + 16
    total = _U16.unpack_from(packet, where)[0]
    if (position - start) & 1:
        # an option at an odd place: the two octets belong to two words, which is the same sum with octets swapped
        old = (old & 0xFF) << 8 | old >> 8
        limit = (limit & 0xFF) << 8 | limit >> 8
    _U16.pack_into(changed, where, _adjusted(total, old, limit))
    return bytes(changed)


def dont_fragment(packet: bytes) -> bool:
    """Whether an IPv4 packet carries DF."""
    return bool(packet[6] & 0x40)


def fragment4(packet: bytes, mtu: int) -> list[bytes]:
    """IPv4 fragments of at most `mtu` octets (RFC 791 section 3.2); DF is cleared. Empty: it cannot be done."""
    header_size = (packet[0] & 0x0F) * 4
    total = _U16.unpack_from(packet, 2)[0]
    if header_size < 20 or not header_size < total <= len(packet) or mtu < max(MINIMUM_MTU4, header_size + 8):
        return []
    flags = _U16.unpack_from(packet, 6)[0]
    offset, more = flags & 0x1FFF, flags & 0x2000
    first_header = packet[:header_size]
    later_header = _copied_options(first_header)
    fragments = []
    position = header_size
    header = first_header
    while position < total:
        room = (mtu - len(header)) & ~7
        chunk = packet[position:min(position + room, total)]
        position += len(chunk)
        last = position >= total
        head = bytearray(header)
        _U16.pack_into(head, 2, len(head) + len(chunk))
        _U16.pack_into(head, 6, offset | (more if last else 0x2000))
        _U16.pack_into(head, 10, 0)
        _U16.pack_into(head, 10, checksum(bytes(head)))
        fragments.append(bytes(head) + chunk)
        offset += len(chunk) // 8
        header = later_header
    return fragments


def _copied_options(header: bytes) -> bytes:
    """The header of all fragments but the first: only options with the copied flag stay."""
    kept = b""
    position, end = 20, len(header)
    while position < end and header[position]:
        if header[position] == 1:
            position += 1
            continue
        length = header[position + 1] if position + 1 < end else 0
        if length < 2 or position + length > end:
            break
        if header[position] & 0x80:
            kept += header[position:position + length]
        position += length
    kept += bytes(-len(kept) % 4)
    return bytes((0x40 | (20 + len(kept)) // 4,)) + header[1:20] + kept


def too_big(packet: bytes, mtu: int) -> bytes:
    """The answer to the sender of a packet above `mtu`: ICMP Fragmentation Needed (RFC 1191) or ICMPv6 Packet Too Big
    (RFC 4443 section 3.2). It comes from the packet's destination: the data path has no address of its own.
    Empty: none may be sent (an ICMP error, a later fragment, a multicast destination)."""
    if packet[0] >> 4 == 4:
        return _too_big4(packet, mtu)
    return _too_big6(packet, mtu)


def _too_big4(packet: bytes, mtu: int) -> bytes:
    header_size = (packet[0] & 0x0F) * 4
    if len(packet) < max(header_size, 20) + 8 or packet[6] & 0x1F or packet[7] or packet[16] >= 224:
        return b""
    if packet[9] == ICMP and packet[header_size] in (3, 4, 5, 11, 12):
        return b""
    quoted = packet[:header_size + 8]
    message = bytearray(b"\x03\x04\0\0\0\0" + _U16.pack(min(mtu, _ONES)) + quoted)
    _U16.pack_into(message, 2, checksum(bytes(message)))
    header = bytearray(b"\x45\xc0" + _U16.pack(20 + len(message)) + b"\0\0\0\0\x40\x01\0\0"
                       + packet[16:20] + packet[12:16])
    _U16.pack_into(header, 10, checksum(bytes(header)))
    return bytes(header + message)


def _too_big6(packet: bytes, mtu: int) -> bytes:
    if len(packet) < 40 or packet[24] == 0xFF:
        return b""
    if packet[6] == ICMPV6 and (len(packet) < 41 or packet[40] < 128):
        return b""
    quoted = packet[:MINIMUM_MTU6 - 48]
    message = bytearray(b"\x02\0\0\0" + _U32.pack(mtu) + quoted)
    source, destination = packet[24:40], packet[8:24]
    pseudo = source + destination + _U32.pack(len(message)) + b"\0\0\0\x3a"
    _U16.pack_into(message, 2, checksum(pseudo + bytes(message)))
    return b"\x60\0\0\0" + _U16.pack(len(message)) + b"\x3a\x40" + source + destination + bytes(message)
