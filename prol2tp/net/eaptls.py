"""TLS for EAP-TLS, by pyOpenSSL: certificates and keys from files, and engines that work on octets.

Importing this raises ImportError where the extra `eap` is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier
from OpenSSL import SSL, crypto

READ = 1 << 16
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
COMMITMENT = b"\0"
"""The server's protected success indication (RFC 9190 section 2.1.1)."""
_PRINCIPAL = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""The otherName in which Microsoft has the name of a user."""
_REASONS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself",
    19: "comes from an authority that is not one of tls_ca",
    20: "comes from an authority that is not one of tls_ca",
    21: "comes from an authority that is not one of tls_ca",
    23: "is revoked",
    26: "is not for this purpose",
}
"""Numbers of X509_V_ERR."""


class BadCertificate(Exception):
    """The files cannot be used; the text is one line and says which and why."""


@dataclass(slots=True, frozen=True)
class Files:
    """What a profile says. Names of files; empty: none."""

    ca: str
    certificate: str
    key: str
    crl: str = ""
    server_name: str = ""
    """What the certificate of a server must name."""
    minimum: str = "1.2"


class Certificates:
    """Ours and those that we trust. Called with True it makes a server's engine, with False a client's. What the files
    hold is read once. Raises `BadCertificate`."""

    def __init__(self, files: Files) -> None:
        self._server_name = files.server_name.lower()
        self._context = context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(VERSIONS[files.minimum])
        # an exchange is never resumed: there is nothing that could be told apart from a new user
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
        _use(files.ca, "tls_ca", self._trust)
        _use(files.certificate, "tls_certificate", lambda _: context.use_certificate_chain_file(files.certificate))
        _use(files.key, "tls_key", self._own)
        if files.crl:
            _use(files.crl, "tls_crl", lambda _: context.load_verify_locations(files.crl))
            store = context.get_cert_store()
            assert store is not None
            store.set_flags(crypto.X509StoreFlags.CRL_CHECK)

    def _trust(self, pem: bytes) -> None:
        store = self._context.get_cert_store()
        assert store is not None
        for certificate in x509.load_pem_x509_certificates(pem):
            store.add_cert(crypto.X509.from_cryptography(certificate))
            self._context.add_client_ca(certificate)  # a client with several certificates chooses by it

    def _own(self, pem: bytes) -> None:
        key: Any = serialization.load_pem_private_key(pem, None)
        try:
            self._context.use_privatekey(key)
        except SSL.Error:
            raise ValueError("it is not the key of tls_certificate") from None

    def __call__(self, server: bool) -> Engine:
        return Engine(self._context, server, "" if server else self._server_name)


def _use(name: str, parameter: str, use: Callable[[bytes], Any]) -> None:
    try:
        with open(name, "rb") as file:
            use(file.read())
    except OSError as error:
        raise BadCertificate(f"{parameter} {name}: {error.strerror}") from None
    except SSL.Error as error:
        raise BadCertificate(f"{parameter} {name}: not what is wanted there ({_text(error)})") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = str(error).partition("\n")[0][:80]
        raise BadCertificate(f"{parameter} {name}: not what is wanted there ({reason})") from None


def _text(error: SSL.Error) -> str:
    """The last words of OpenSSL's stack of errors, which are the nearest to the cause."""
    reasons = [row[2] for row in (error.args[0] if error.args and isinstance(error.args[0], list) else []) if row[2]]
    return reasons[0] if reasons else "no reason given"


def _verified(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, good: int) -> bool:
    """Of OpenSSL: for each certificate of the peer's chain."""
    engine = connection.get_app_data()
    try:
        if not good:
            engine.failure = f"the certificate of {_subject(certificate)} {_REASONS.get(error, f'is bad ({error})')}"
            return False
        if depth == 0:
            engine.names = tuple(_names(certificate.to_cryptography()))
            wanted = engine.server_name
            if wanted and wanted not in (name.lower() for name in engine.names):
                engine.failure = f"the certificate of {_subject(certificate)} does not name {wanted}"
                return False
    except Exception:  # an exception must not go up through OpenSSL
        engine.failure = "the certificate cannot be read"
        return False
    return True


def _subject(certificate: crypto.X509) -> str:
    names = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return ascii(str(names[0].value) if names else "nobody")[1:-1][:64]


def _names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        found: Any = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        found = ()
    for name in found:
        if isinstance(name, x509.DNSName | x509.RFC822Name):
            yield name.value
        elif isinstance(name, x509.OtherName) and name.type_id == _PRINCIPAL:
            yield from _utf8_string(name.value)
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield str(attribute.value)


def _utf8_string(der: bytes) -> Iterator[str]:
    """One of at most 255 octets, as names of users are; that it is DER was checked where the certificate was read."""
    if der[0] == 0x0C and der[1] <= 0x81:
        yield der[3 if der[1] == 0x81 else 2 :].decode("utf-8", "replace")


class Engine:
    """A `ppp.eaptls.TLSEngine`."""

    __slots__ = ("failure", "done", "names", "server_name", "_connection", "_server", "_shaken")

    def __init__(self, context: SSL.Context, server: bool, server_name: str) -> None:
        self.failure = ""
        self.done = False
        self.names: tuple[str, ...] = ()
        self.server_name = server_name
        self._server = server
        self._shaken = False
        self._connection = connection = SSL.Connection(context, None)
        connection.set_app_data(self)
        if server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()

    def receive(self, records: bytes) -> bytes:
        connection = self._connection
        try:
            if records:
                connection.bio_write(records)
            if not self._shaken:
                connection.do_handshake()
                self._shaken = True
                self._end_of_handshake()
            self._hear()
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            # a close after the handshake is no objection
            self.failure = self.failure or ("" if self.done else "the peer ends TLS before the handshake is over")
        except SSL.Error as error:
            self.done = False
            self.failure = self.failure or _text(error)
        return self._written()

    @property
    def _version_3(self) -> bool:
        return self._connection.get_protocol_version() >= SSL.TLS1_3_VERSION

    def _end_of_handshake(self) -> None:
        if not self._version_3:
            self.done = True
        elif self._server:
            self._connection.send(COMMITMENT)
            self.done = True

    def _hear(self) -> None:
        """What comes after the handshake: tickets that nobody uses, the server's commitment, alerts."""
        while said := self._connection.recv(READ):
            if self._server or not self._version_3 or self.done or said != COMMITMENT:
                self.done = False
                self.failure = "there is data where only the handshake belongs"
                return
            self.done = True

    def _written(self) -> bytes:
        said = []
        try:
            while part := self._connection.bio_read(READ):
                said.append(part)
        except SSL.WantReadError:
            pass
        return b"".join(said)

    def key_material(self) -> bytes:
        if self._version_3:
            context = bytes((13,))  # the type of the method
            return self._connection.export_keying_material(b"EXPORTER_EAP_TLS_Key_Material", 128, context)[:64]
        return self._connection.export_keying_material(b"client EAP encryption", 128, None)[:64]
