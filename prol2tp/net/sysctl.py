"""Settings of an interface that the kernel takes through /proc/sys only (kernel: networking/ip-sysctl)."""

from __future__ import annotations

import os

IPV6 = "/proc/sys/net/ipv6/conf"


def ipv6_settings(accept_ra: bool, default_router: bool) -> dict[str, str]:
    """How an interface takes what routers say: advertisements not at all, or as a host does even where the system
    forwards packets; default routes by them, or none. Redirects never: nobody else is on a link."""
    settings = {"accept_ra": "2" if accept_ra else "0", "accept_redirects": "0"}
    if accept_ra:
        settings["accept_ra_defrtr"] = "1" if default_router else "0"
    return settings


def write(name: str, settings: dict[str, str]) -> None:
    """Set them on the interface of that name. Raises `OSError`."""
    for key, value in settings.items():
        # each link waits for this: a file object would take longer than the kernel
        descriptor = os.open(f"{IPV6}/{name}/{key}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
