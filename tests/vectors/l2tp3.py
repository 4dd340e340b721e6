"""Control messages of L2TPv3 as octets, laid out by hand from RFC 3931, and the records that they are."""

from prol2tp.l2tp.messages3 import (
    ACCM,
    ACK,
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
from tests.vectors.l2tp import octets

SECRET = b"s3cret"
LOCAL_NONCE = bytes(range(16))
REMOTE_NONCE = bytes(range(0x80, 0x94))

MESSAGES = {
    "SCCRQ": (
        octets("""
            8008 0000 0000 0001
            800b 0000 0007 6c63636531
            0019 0000 0008 70726f6c32747020322e302e30204c696e7578
            8008 0000 000a 000a
            000a 0000 003c c0000201             ; Router ID
            000a 0000 003d 2a5f0001             ; Assigned Control Connection ID
            000c 0000 003e 0005 0004 0007       ; Pseudowire Capabilities List
            8016 0000 0049 000102030405060708090a0b0c0d0e0f
            0008 0000 0048 656e                 ; Preferred Language
            800e 0000 0005 0011223344556677     ; Control Connection Tie Breaker
        """),
        SCCRQ("lcce1", 0xC0000201, 0x2A5F0001, (5, 4, 7), LOCAL_NONCE, bytes.fromhex("0011223344556677"),
              "prol2tp 2.0.0 Linux", 10, "en"),
    ),
    "SCCRP": (
        octets("""
            8008 0000 0000 0002
            800b 0000 0007 6c63636532
            8008 0000 000a 0001
            000a 0000 003c 00000000
            000a 0000 003d ffffffff
            0008 0000 003e 0005
            8016 0000 0049 000102030405060708090a0b0c0d0e0f
        """),
        SCCRP("lcce2", 0, 0xFFFFFFFF, (5,), LOCAL_NONCE, None, 1),
    ),
    "SCCCN": (octets("8008 0000 0000 0003"), SCCCN()),
    "StopCCN": (
        octets("""
            8008 0000 0000 0004
            800f 0000 0001 0002 0008 6d61796265
            000a 0000 003d 2a5f0001
        """),
        StopCCN(ResultCode(2, 8, "maybe"), 0x2A5F0001),
    ),
    "HELLO": (octets("8008 0000 0000 0006"), HELLO()),
    "ICRQ": (
        octets("""
            8008 0000 0000 000a
            800a 0000 003f 00010002             ; Local Session ID
            800a 0000 0040 00000000             ; Remote Session ID
            000a 0000 000f 00000007             ; Serial Number
            8008 0000 0044 0005                 ; Pseudowire Type
            8017 0000 0042 64656d6f2d6c32747076332d6574682d31    ; Remote End ID
            8008 0000 0047 0003                 ; Circuit Status: new, active
            800e 0000 0041 0123456789abcdef     ; Assigned Cookie
            800e 0000 0005 8000000000000000     ; Session Tie Breaker
            8008 0000 0045 0001                 ; L2-Specific Sublayer
            8008 0000 0046 0002                 ; Data Sequencing
            000e 0000 004a 000000003b9aca00     ; Tx Connect Speed
            000e 0000 004b 0000000005f5e100     ; Rx Connect Speed
            000a 0000 0019 00000009             ; Physical Channel ID
            0008 0000 005b 05dc                 ; Interface Maximum Transmission Unit
        """),
        ICRQ(0x10002, 0, 7, 5, "demo-l2tpv3-eth-1", 3, bytes.fromhex("0123456789abcdef"),
             bytes.fromhex("8000000000000000"), 1, 2, 1_000_000_000, 100_000_000, 9,
             interface_maximum_transmission_unit=1500),
    ),
    "ICRP": (
        octets("""
            8008 0000 0000 000b
            800a 0000 003f fffffffe
            800a 0000 0040 00010002
            8008 0000 0047 0001
            800a 0000 0041 deadbeef
            8008 0000 0045 0000
            8008 0000 0046 0000
        """),
        ICRP(0xFFFFFFFE, 0x10002, 1, bytes.fromhex("deadbeef"), 0, 0),
    ),
    "ICCN": (
        octets("""
            8008 0000 0000 000c
            800a 0000 003f 00010002
            800a 0000 0040 fffffffe
            8008 0000 0045 0001
            8008 0000 0046 0001
            000e 0000 004a 0000000000000000
            8008 0000 0047 0001
            800a 0000 0013 00000001             ; Framing Type
            0008 0000 001d 0002                 ; Proxy Authen Type
            000b 0000 001e 616c696365           ; Proxy Authen Name
        """),
        ICCN(0x10002, 0xFFFFFFFE, 1, 1, 0, None, 1, 1, proxy_authen_type=2, proxy_authen_name=b"alice"),
    ),
    "OCRQ": (
        octets("""
            8008 0000 0000 0007
            800a 0000 003f 00010002
            800a 0000 0040 00000000
            000a 0000 000f 00000008
            8008 0000 0044 0007
            800a 0000 0042 6563686f
            8008 0000 0047 0002
            8006 0000 0041                      ; Assigned Cookie, none
            000e 0000 004a 0000000000002580
            000e 0000 004b 0000000000000960
            8009 0000 0015 353535               ; Called Number
        """),
        OCRQ(0x10002, 0, 8, 7, "echo", 2, b"", 9600, 2400, called_number="555"),
    ),
    "OCRP": (
        octets("""
            8008 0000 0000 0008
            800a 0000 003f 00000005
            800a 0000 0040 00010002
            8008 0000 0047 0000
            000a 0000 0019 00000001
        """),
        OCRP(5, 0x10002, 0, physical_channel_id=1),
    ),
    "OCCN": (
        octets("""
            8008 0000 0000 0009
            800a 0000 003f 00000005
            800a 0000 0040 00010002
            000e 0000 004a 0000000000002580
        """),
        OCCN(5, 0x10002, tx_connect_speed_bps=9600),
    ),
    "CDN": (
        octets("""
            8008 0000 0000 000e
            8008 0000 0001 000d                 ; losing tie breaker
            800a 0000 003f 00000000
            800a 0000 0040 00010002
            8009 0000 000c 0010 08
            000b 0000 002e 0003 c021 02
        """),
        CDN(ResultCode(13), 0, 0x10002, Q931Cause(16, 8), DisconnectCause(3, 0xC021, 2)),
    ),
    "WEN": (
        octets("""
            8008 0000 0000 000f
            800a 0000 003f 00000005
            800a 0000 0040 00010002
            0020 0000 0022 0000 00000001 00000002 00000003 00000004 00000005 00000006
        """),
        WEN(5, 0x10002, CallErrors(1, 2, 3, 4, 5, 6)),
    ),
    "SLI": (
        octets("""
            8008 0000 0000 0010
            800a 0000 003f 00000005
            800a 0000 0040 00010002
            8008 0000 0047 0000
            8010 0000 0023 0000 ffffffff 00000000
        """),
        SLI(5, 0x10002, 0, ACCM(0xFFFFFFFF, 0)),
    ),
    "CSUN": (
        octets("""
            0008 0000 0000 001c
            001a 0000 0061 00010002 00000004a817c800 000000003b9aca00
            001a 0000 0061 ffffffff 0000000000000000 0000000000000001
        """),
        CSUN((ConnectSpeed(0x10002, 20_000_000_000, 1_000_000_000), ConnectSpeed(0xFFFFFFFF, 0, 1))),
    ),
    "CSURQ": (
        octets("0008 0000 0000 001d 001a 0000 0061 00010002 0000000000000000 0000000000000000"),
        CSURQ((ConnectSpeed(0x10002, 0, 0),)),
    ),
    "ACK": (octets("8008 0000 0000 0014"), ACK()),
}

DIGESTS = {
    "SCCRQ": (
        "859be4514eb1f59ca95fbc1a0759707c",
        "bd13ec0b48a0149a7d02e4225ac5a6b9151a2d2c",
    ),
    "SCCRP": (
        "38ad1762145d16c7cbf9c502f3343fba",
        "cab6392e06860e9b1bfc2270ee8022d372207ce2",
    ),
    "SCCCN": (
        "75cd6f2bdf8ddb9defba8ba6080e7838",
        "6cf7d8d2a1da2ae5ae73045fe2950d42ab0dddb4",
    ),
    "StopCCN": (
        "af200b8165c5a212ada5e705d564d3cd",
        "2c6724d3f0e3a54b98519b2f6c1c5f303e21cf86",
    ),
    "HELLO": (
        "de2f87dfffc634d71a7c936da59a26a0",
        "d52e7b6c81688fb51e705950a2f2c6651afe66b9",
    ),
    "ICRQ": (
        "607a8daf9f29995412831b7ba9b447a9",
        "a1a9af9d486f2ed4bd7927991cd3f43f25424903",
    ),
    "ICRP": (
        "52eca2cd78e4a5b116faa7c9be09fe2b",
        "6dcfcb2ed17269c9aeb3bf17fe5c6b9200a9234d",
    ),
    "ICCN": (
        "03f294cfd50e9f9f644fe898d120c83c",
        "f1d0d180c0b7410bf588202656987a3a129ccc56",
    ),
    "OCRQ": (
        "5abc984a49167b5cb3c8d707d1d14702",
        "94bb82291dc3f1fccc38973a12bd46bc7fed7125",
    ),
    "OCRP": (
        "2cee2a968263163b01873134d809a698",
        "a3379ab802f71d462d64d946e762efa191459e22",
    ),
    "OCCN": (
        "254552a9988f9f164624ecc392dcca28",
        "19d63b62da9ba6f88d5680f8a15bfb160d1f6bd0",
    ),
    "CDN": (
        "87afb378f7a5142aeaa1b9b68fca9e95",
        "8b558e2b96c8a380276340a7290899f8c5f21e1d",
    ),
    "WEN": (
        "56e0db120ab150ac8f5f193e9d63a734",
        "d906f288d3090acb9aaf6cca42833f3565644640",
    ),
    "SLI": (
        "c243a85494dcd1ef3bc8d3e371c8bc9d",
        "b8e7158cd9e257dda43dbc7c13b4c6150edec9cd",
    ),
    "CSUN": (
        "8b18c1933da7599898db645815773059",
        "b8c56536618a04b0e742f3fe5a844ea4d9e364d3",
    ),
    "CSURQ": (
        "cb4f5af74731e020344cb2554a2ef771",
        "2fae0b98fc5635f06789137b9041443d5c32e740",
    ),
    "ACK": (
        "0f043cd69a780cc539bc252dd78f7cd6",
        "c38237ce699ebdb852bc1ff21454be8424db40b7",
    ),
}
"""The digests, HMAC-MD5 and HMAC-SHA-1, of every message with the Control Connection ID 01020304, Ns 5 and Nr 6, the
secret and the nonces above; calculated by `openssl dgst -mac HMAC`."""
