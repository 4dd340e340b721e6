"""Comparing numbers that wrap (RFC 2661 section 5.8: within 32767 of each other, modulo 65536; data of L2TPv3, RFC 3931
section 4.6: within 2^23 - 1, modulo 2^24)."""

from __future__ import annotations

MODULUS_16 = 1 << 16
MODULUS_24 = 1 << 24


def before(a: int, b: int, modulus: int = MODULUS_16) -> bool:
    """Whether `a` comes before `b`: less than half the number space behind it."""
    return 0 < (b - a) % modulus < modulus // 2


def distance(a: int, b: int, modulus: int = MODULUS_16) -> int:
    """Steps from `a` forward to `b`."""
    return (b - a) % modulus
