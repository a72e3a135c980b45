"""TLS of outbound calls: whom we trust, and who we are."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import certifi

from accredit.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """What is shown to a peer that asks for a client certificate: PEM, leaf first, and the leaf's unencrypted key."""

    certificate_pem: str
    key_pem: Secret


def tls_context(extra_trust_pem: str = "", identity: ClientIdentity | None = None) -> ssl.SSLContext:
    """TLS for a client: the system's trust (certifi's where it has none), what is given beside it, and who we are.

    Raises ValueError when the identity's certificate and key can't be used together.
    """
    # Not ssl.create_default_context(): that one obeys SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        context.load_default_certs()
    else:
        context.load_verify_locations(certifi.where())
    if extra_trust_pem:
        # An anchor may be an issuing CA: what the operator trusts is trusted as it is.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=extra_trust_pem)
    if identity is not None:
        _show(context, identity)
    return context


def _show(context: ssl.SSLContext, identity: ClientIdentity) -> None:
    # The library takes a file only: one of this user alone, gone as soon as it is read.
    with NamedTemporaryFile() as file:
        file.write(identity.certificate_pem.encode() + b"\n" + identity.key_pem.reveal())
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except (ssl.SSLError, OSError):
            raise ValueError("the client certificate and its key can't be used together") from None
