"""Where third parties ask about a certificate: the addresses that an issuing CA puts into its leaves (RFC 5280, 4.2.1.13, 4.2.2.1).

They name the CA by its key id, so that a CA that is made anew under an old name is never taken for the old one. A
leaf's CRL is one of `SHARDS`, chosen by the low bits of its serial number: so each stays small, and a fleet's
revocations are not fetched whole to ask about one device.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from accredit.domain.credential import CRL_SHARDS
from accredit.values import dataclass

SHARDS = CRL_SHARDS


def key_id(certificate: x509.Certificate) -> str:
    """The CA's subject key identifier in lower-case hex."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def shard_of(serial: int) -> int:
    return serial % SHARDS


@dataclass(frozen=True, slots=True)
class Points:
    """`base` is the public address, such as `http://ca.example.net:8080`."""

    base: str
    key_id: str

    def crl(self, shard: int) -> str:
        return f"{self.base}/crl/{self.key_id}/{shard}.crl"

    @property
    def ocsp(self) -> str:
        return f"{self.base}/ocsp"

    @property
    def issuer(self) -> str:
        return f"{self.base}/issuers/{self.key_id}.cer"

    def access(self) -> x509.AuthorityInformationAccess:
        """Where the OCSP responder and the issuer's certificate are."""
        return x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(AuthorityInformationAccessOID.OCSP, _uri(self.ocsp)),
                x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, _uri(self.issuer)),
            ]
        )

    def distribution(self, shard: int) -> x509.CRLDistributionPoints:
        """Where the CRL of a leaf of this shard is."""
        return _distribution(self.crl(shard))

    @property
    def root_crl(self) -> str:
        """Of a root: the list of the issuing CAs that it revoked."""
        return f"{self.base}/crl/{self.key_id}/ca.crl"

    def root_access(self) -> x509.AuthorityInformationAccess:
        """Where the root's certificate is; no OCSP, because a root may be offline."""
        return x509.AuthorityInformationAccess(
            [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, _uri(self.issuer))]
        )

    def root_distribution(self) -> x509.CRLDistributionPoints:
        return _distribution(self.root_crl)

    def root_scope(self) -> x509.IssuingDistributionPoint:
        """What the root's CRL is about."""
        return x509.IssuingDistributionPoint(
            full_name=[_uri(self.root_crl)],
            relative_name=None,
            only_contains_user_certs=False,
            only_contains_ca_certs=True,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        )

    def scope(self, shard: int) -> x509.IssuingDistributionPoint:
        """What the CRL of this shard is about; it names the same address as its leaves do."""
        return x509.IssuingDistributionPoint(
            full_name=[_uri(self.crl(shard))],
            relative_name=None,
            only_contains_user_certs=True,
            only_contains_ca_certs=False,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        )


def _distribution(address: str) -> x509.CRLDistributionPoints:
    point = x509.DistributionPoint([_uri(address)], relative_name=None, reasons=None, crl_issuer=None)
    return x509.CRLDistributionPoints([point])


def _uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)
