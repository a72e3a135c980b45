"""The TLS context that every listener shows: modern, asking for a client certificate, judging none.

TLS 1.2 and 1.3 with ephemeral keys and authenticated ciphers only. No session is ever resumed (RFC 5246 7.3, RFC
8446 2.2): every connection shows its client's chain anew. Tickets of TLS 1.3 cannot be counted down from pyOpenSSL;
without a cache behind them they open nothing, and the client makes a full handshake.

Where the certificate comes from is `ca/server_identity.py`'s or the operator's affair.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

_OPTIONS = SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

ServerKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def server_context(chain: Sequence[x509.Certificate], key: ServerKey) -> SSL.Context:
    """A context for TLS 1.2 and 1.3 that asks for a client certificate, takes any, and resumes nothing.

    `chain` is what the server shows, its own certificate first. Raises ValueError when the key is another's.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_cipher_list(_TLS12_CIPHERS)
    context.set_options(_OPTIONS)
    # An idle connection then costs 47 KB instead of 68.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # A client that tries to resume with a certificate gets a fatal alert from a server without this id.
    context.set_session_id(b"accredit")
    context.set_verify(SSL.VERIFY_PEER, _accept)
    # OpenSSL builds a path before it asks `_accept`: depth 0 spares the signature checks that policy makes anyway,
    # and leaves a peer no way to make us verify ten RSA signatures before it is known.
    context.set_verify_depth(0)
    context.use_certificate(chain[0])
    for issuer in chain[1:]:
        context.add_extra_chain_cert(issuer)
    try:
        context.use_privatekey(key)
        context.check_privatekey()
    except SSL.Error as error:
        raise ValueError("the private key does not belong to the server certificate") from error
    return context


def _accept(*_: object) -> bool:
    return True
