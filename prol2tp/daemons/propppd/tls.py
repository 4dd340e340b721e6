"""EAP-TLS in profiles: which files a profile names, read when they are needed and kept until the next configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prol2tp.config.propppd import Profile

if TYPE_CHECKING:
    from prol2tp.net.eaptls import Certificates

MISSING = "EAP-TLS needs the packages of the extra 'eap': pip install 'prol2tp[eap]'"


class BadTLS(Exception):
    """A profile wants EAP-TLS and cannot have it; the text is one line."""


def wanted(profile: Profile) -> bool:
    """Whether links of this profile speak EAP-TLS."""
    return "tls" in profile.eap_methods or "tls" in profile.eap_allow_methods


class TLSProfiles:
    """The certificates of profiles. Profiles that name the same files share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Certificates] = {}

    def forget(self) -> None:
        """The files may have changed."""
        self._known.clear()

    def of(self, profile: Profile) -> Certificates | None:
        """None: the profile has no EAP-TLS. Raises `BadTLS`."""
        if not wanted(profile):
            return None
        names = (profile.tls_ca, profile.tls_certificate, profile.tls_key, profile.tls_crl, profile.tls_server_name,
                 profile.tls_minimum)
        if not all(names[:3]):
            raise BadTLS("EAP-TLS needs tls_ca, tls_certificate and tls_key")
        found = self._known.get(names)
        if found is None:
            try:
                from prol2tp.net.eaptls import BadCertificate, Certificates, Files
            except ImportError:
                raise BadTLS(MISSING) from None
            try:
                found = self._known[names] = Certificates(Files(*names))
            except BadCertificate as error:
                raise BadTLS(str(error)) from None
        return found
