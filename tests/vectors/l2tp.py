"""Control messages of L2TPv2 as octets, laid out by hand from RFC 2661, and the records that they are."""

from prol2tp.l2tp.messages import (
    ACCM,
    CDN,
    CSUN,
    CSURQ,
    HELLO,
    ICCN,
    ICRP,
    ICRQ,
    OCCN,
    OCRP,
    OCRQ,
    SCCCN,
    SCCRP,
    SCCRQ,
    SLI,
    WEN,
    CallErrors,
    ConnectSpeed,
    DisconnectCause,
    Q931Cause,
    ResultCode,
    StopCCN,
)


def octets(text: str) -> bytes:
    """Hexadecimal with spaces and line ends; `;` begins a comment."""
    return bytes.fromhex("".join(line.partition(";")[0] for line in text.splitlines()))


PROL2TP_SCCRQ_FRAGMENT = octets("""
    8008 0000 0000 0001
    0008 0000 0002 0100                 ; Protocol Version, M bit clear
    800a 0000 0003 00000003
    0034 0000 0008 70726f6c32747020312e372e33204c696e75782d332e31332e302d37312d67656e65726963
                   20287838365f363429
""")
"""The start of a real ProL2TP 1.7.3 SCCRQ of version 2: Host Name and Assigned Tunnel ID came later."""

PROL2TP_V3_SCCRQ = octets("""
    c803 007c 00000000 0000 0000
    8008 0000 0000 0001
    800c 0000 0007 6f70656e7633
    0034 0000 0008 70726f6c32747020312e372e33204c696e75782d332e31332e302d33302d67656e65726963
                   20287838365f363429
    8008 0000 000a 000a
    000a 0000 003c 00000000
    000a 0000 003d 2846f181
    000c 0000 003e 0007 0005 0004
""")
"""A whole SCCRQ of ProL2TP 1.7.3 in version 3, header included."""

MESSAGES = {
    "SCCRQ": (
        octets("""
            8008 0000 0000 0001
            8008 0000 0002 0100
            8009 0000 0007 6c6163
            800a 0000 0003 00000003
            8008 0000 0009 2a5f
            800a 0000 0004 00000002
            8008 0000 000a 000a
            8016 0000 000b 00112233445566778899aabbccddeeff
            000e 0000 0005 0102030405060708
            0008 0000 0006 0690
            0027 0000 0008 70726f6c32747020322e302e30204c696e75782d362e312e30202861726d763729
        """),
        SCCRQ(
            protocol_version=0x0100, host_name="lac", framing_capabilities=3, assigned_tunnel_id=0x2A5F,
            bearer_capabilities=2, receive_window_size=10,
            challenge=bytes.fromhex("00112233445566778899aabbccddeeff"), tie_breaker=bytes(range(1, 9)),
            firmware_revision=0x0690, vendor_name="prol2tp 2.0.0 Linux-6.1.0 (armv7)",
        ),
    ),
    "SCCRP": (
        octets("""
            8008 0000 0000 0002
            8008 0000 0002 0100
            800a 0000 0003 00000001
            8009 0000 0007 6c6e73
            8008 0000 0009 0001
            8016 0000 000d 6e1ca1251f4131a7097f0bdd8d9932cf
        """),
        SCCRP(
            protocol_version=0x0100, framing_capabilities=1, host_name="lns", assigned_tunnel_id=1,
            challenge_response=bytes.fromhex("6e1ca1251f4131a7097f0bdd8d9932cf"),
        ),
    ),
    "SCCCN": (octets("8008 0000 0000 0003"), SCCCN()),
    "StopCCN": (
        octets("""
            8008 0000 0000 0004
            8008 0000 0009 5f2b
            801a 0000 0001 0002 0003 496e76616c696420417267756d656e74
        """),
        StopCCN(assigned_tunnel_id=0x5F2B, result_code=ResultCode(2, 3, "Invalid Argument")),
    ),
    "HELLO": (octets("8008 0000 0000 0006"), HELLO()),
    "OCRQ": (
        octets("""
            8008 0000 0000 0007
            8008 0000 000e 0007
            800a 0000 000f 00000001
            800a 0000 0010 00002580
            800a 0000 0011 0000fa00
            800a 0000 0012 00000001
            800a 0000 0013 00000002
            800d 0000 0015 35353531323334
            8007 0000 0017 39
        """),
        OCRQ(
            assigned_session_id=7, call_serial_number=1, minimum_bps=9600, maximum_bps=64000, bearer_type=1,
            framing_type=2, called_number="5551234", sub_address="9",
        ),
    ),
    "OCRP": (
        octets("8008 0000 0000 0008 8008 0000 000e ffff 000a 0000 0019 00000004"),
        OCRP(assigned_session_id=65535, physical_channel_id=4),
    ),
    "OCCN": (
        octets("8008 0000 0000 0009 800a 0000 0018 0000fa00 800a 0000 0013 00000001 000a 0000 0026 00002580"),
        OCCN(tx_connect_speed=64000, framing_type=1, rx_connect_speed=9600),
    ),
    "ICRQ": (
        octets("""
            8008 0000 0000 000a
            8008 0000 000e 002a
            800a 0000 000f 00000007
            800a 0000 0012 00000001
            000a 0000 0019 00000003
            800b 0000 0016 3034303132
            8008 0000 0015 3432
            8008 0000 0017 3031
        """),
        ICRQ(
            assigned_session_id=42, call_serial_number=7, bearer_type=1, physical_channel_id=3,
            calling_number="04012", called_number="42", sub_address="01",
        ),
    ),
    "ICRP": (octets("8008 0000 0000 000b 8008 0000 000e 0101"), ICRP(assigned_session_id=257)),
    "ICCN": (
        octets("""
            8008 0000 0000 000c
            800a 0000 0018 3b9aca00
            800a 0000 0013 00000001
            000a 0000 001a 010405dc
            000b 0000 001b 0305c22305
            000a 0000 001c 0304c023
            0008 0000 001d 0002
            0008 0000 001e ff75       ; no UTF-8, and need not be
            000a 0000 001f deadbeef
            0008 0000 0020 0005
            000a 0000 0021 cafef00d
            000a 0000 0025 67727031
            000a 0000 0026 00989680
            8006 0000 0027
        """),
        ICCN(
            tx_connect_speed=1_000_000_000, framing_type=1,
            initial_received_lcp_confreq=bytes.fromhex("010405dc"),
            last_sent_lcp_confreq=bytes.fromhex("0305c22305"),
            last_received_lcp_confreq=bytes.fromhex("0304c023"), proxy_authen_type=2,
            proxy_authen_name=b"\xffu", proxy_authen_challenge=bytes.fromhex("deadbeef"), proxy_authen_id=5,
            proxy_authen_response=bytes.fromhex("cafef00d"), private_group_id=b"grp1",
            rx_connect_speed=10_000_000, sequencing_required=True,
        ),
    ),
    "CDN": (
        octets("""
            8008 0000 0000 000e
            8008 0000 0001 0003
            8008 0000 000e 002a
            800c 0000 000c 0010 80 627965
            000d 0000 002e 0003 c021 01 6f6b
        """),
        CDN(
            result_code=ResultCode(3), assigned_session_id=42, q931_cause_code=Q931Cause(16, 0x80, "bye"),
            ppp_disconnect_cause_code=DisconnectCause(3, 0xC021, 1, "ok"),
        ),
    ),
    "WEN": (
        octets("""
            8008 0000 0000 000f
            8020 0000 0022 0000 00000001 00000002 00000003 00000004 00000005 00000006
        """),
        WEN(call_errors=CallErrors(1, 2, 3, 4, 5, 6)),
    ),
    "SLI": (
        octets("8008 0000 0000 0010 8010 0000 0023 0000 000a0000 ffffffff"),
        SLI(accm=ACCM(0x000A0000, 0xFFFFFFFF)),
    ),
    "CSUN": (
        octets("""
            0008 0000 0000 001c
            0012 0000 0061 0000 002a 00989680 000f4240
            0012 0000 0061 0000 ffff 00000000 ffffffff
        """),
        CSUN((ConnectSpeed(42, 10_000_000, 1_000_000), ConnectSpeed(0xFFFF, 0, 0xFFFFFFFF))),
    ),
    "CSURQ": (
        octets("0008 0000 0000 001d 0012 0000 0061 0000 002a 00000000 00000000"),
        CSURQ((ConnectSpeed(42, 0, 0),)),
    ),
}
"""Message name to body and record. The body is what we write, octet for octet."""
