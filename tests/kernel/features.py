"""What kernels of guests have, and which tests run in which guest.

`@pytest.mark.kernel(feature, ..., guests=(...))`: the features are names of `FEATURES`; `guests` are the kernels that
the test is for (flavours of `tools/guest`, or `virtual`: uml in virtual time), else all with a clock of the wall.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

GUEST = os.environ.get("PROL2TP_GUEST", "")
"""The guest that this is, by `tools/guest`; empty on any other machine."""
REAL_TIME = ("umldeb", "uml", "qemu")
FEATURES = {
    "l2tp": "l2tp_nl_cmd_tunnel_create",
    "l2tp_ip": "l2tp_ip_recv",
    "l2tp_ip6": "l2tp_ip6_recv",
    "l2tp_eth": "l2tp_eth_create",
    "l2tp_ppp": "pppol2tp_connect",
    "ppp": "ppp_ioctl",
    "ppp_deflate": "z_compress",
    "ppp_bsdcomp": "bsd_compress",
    "ppp_mppe": "mppe_compress",
    "pppoe": "pppoe_connect",
    "pppox": "pppox_ioctl",
    "vlan": "vlan_ioctl_handler",
    "virtual_time": "time_travel_sleep",
}
"""A function of the kernel's that is there with the feature, built in or as a module."""


@functools.cache
def _symbols() -> frozenset[str]:
    with Path("/proc/kallsyms").open() as lines:
        return frozenset(line.split()[2] for line in lines)


def missing(feature: str) -> bool:
    return FEATURES[feature] not in _symbols()


def runs_here(item: pytest.Item) -> bool:
    """The marks' features add up; of `guests` those of the mark nearest to the test count."""
    marker = item.get_closest_marker("kernel")
    return marker is None or GUEST in marker.kwargs.get("guests", REAL_TIME)
