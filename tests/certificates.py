"""Certificates for tests: an authority, and what it has signed, as PEM files in a directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from prol2tp.net.eaptls import Files

DAY = timedelta(days=1)


class Authority:
    """Its own certificate is `ca.pem`, its list of what is revoked `crl.pem` once there is one."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self.name, self.key, 0).issuer_name(self.name)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())
        self.path = self._write("ca.pem", self.certificate)

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, age: int) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - (age + 2) * DAY).not_valid_after(now + (30 - age) * DAY)
        )  # fmt: skip

    def _write(self, name: str, *certificates: x509.Certificate) -> str:
        path = self.directory / name
        path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates))
        return str(path)

    def issue(
        self, name: str, server: bool = False, alternative: Sequence[x509.GeneralName] = (), age: int = 0,
        padding: int = 0,
    ) -> x509.Certificate:
        """`NAME.pem` and `NAME.key`.

        :param age: in days; more than 30 has expired.
        :param padding: octets of a comment inside, which make it as large as one likes.
        """  # fmt: skip
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, age)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        if padding:
            comment = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"c" * padding)
            builder = builder.add_extension(comment, critical=False)
        certificate = builder.issuer_name(self.name).sign(self.key, hashes.SHA256())
        self._write(f"{name}.pem", certificate)
        self.write_key(f"{name}.key", key)
        return certificate

    def write_key(self, name: str, key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> str:
        hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            hidden = serialization.BestAvailableEncryption(passphrase)
        path = self.directory / name
        form = serialization.PrivateFormat.PKCS8
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, hidden))
        return str(path)

    def revoke(self, *certificates: x509.Certificate) -> str:
        """-> the file of the list."""
        now = datetime.now(timezone.utc)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(now - DAY).next_update(now + DAY)
        for one in certificates:
            revoked = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(now - DAY)
            builder = builder.add_revoked_certificate(revoked.build())
        path = self.directory / "crl.pem"
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return str(path)

    def files(self, name: str, **others: str) -> Files:
        """Those of one that was issued."""
        return Files(self.path, str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key"), **others)
