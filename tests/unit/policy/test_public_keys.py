"""Which keys are certified, and that a key has one identity however it is spelled."""

import math

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accredit.domain.der import subject_public_key_info
from accredit.domain.errors import Malformed
from accredit.policy.public_keys import DEFAULT_RULES, KeyRules, accepted, rsa_weakness
from support.signing_requests import csr, key, with_other_key

PRIMES = [n for n in range(3, 168) if all(n % d for d in range(2, math.isqrt(n) + 1))]


def spki(kind):
    return key(kind).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def judge(kind, rules=DEFAULT_RULES):
    return accepted(csr("device-1", key(kind)), spki(kind), rules, "csr")


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048", "RSA-3072"])
def test_good_keys_are_accepted_as_they_stand(kind):
    assert judge(kind) == spki(kind)


@pytest.mark.parametrize("kind", ["P-224", "P-521", "secp256k1", "Ed25519"])
def test_keys_of_other_kinds_are_refused(kind):
    with pytest.raises(Malformed, match="csr") as caught:
        judge(kind)
    assert caught.value.rule == "csr-key-type"


def test_ed25519_is_accepted_where_the_authority_takes_it():
    assert judge("Ed25519", KeyRules(ed25519=True)) == spki("Ed25519")


def test_a_curve_can_be_taken_away():
    with pytest.raises(Malformed) as caught:
        judge("P-256", KeyRules(curves=frozenset({"secp384r1"})))
    assert caught.value.rule == "csr-key-type"


def test_a_dsa_key_is_refused():
    private = dsa.generate_private_key(1024)
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(private, hashes.SHA256())
    )
    with pytest.raises(Malformed) as caught:
        accepted(request, subject_public_key_info(request.public_bytes(Encoding.DER)), DEFAULT_RULES, "csr")
    assert caught.value.rule == "csr-key-type"


def test_a_compressed_point_is_the_same_key():
    """Otherwise one key would have two identities, and could be certified for two devices."""
    public = key().public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    request = csr().public_bytes(Encoding.DER)
    old = subject_public_key_info(request)
    forged = with_other_key(request, compressed)
    assert accepted(x509.load_der_x509_csr(forged), compressed, DEFAULT_RULES, "csr") == old


class TestRSA:
    def test_a_sound_modulus(self):
        numbers = key("RSA-2048").public_key().public_numbers()
        assert rsa_weakness(numbers.n, numbers.e, DEFAULT_RULES) is None

    def test_too_small_in_a_request(self):
        with pytest.raises(Malformed, match="1024 bits") as caught:
            judge("RSA-1024")
        assert caught.value.rule == "csr-key-weak"

    @pytest.mark.parametrize(
        ("modulus", "exponent", "said"),
        [
            (2**2046 + 1, 65537, "2047 bits"),
            (2**4096 + 1, 65537, "4097 bits"),
            (2**2052 + 1, 65537, "multiple of 8"),
            (2**2047 + 1, 3, "exponent"),
            (2**2047 + 1, 1, "exponent"),
            (2**2047 + 1, 65537, "small factor"),
            (751 * (2**2038 + 1), 65537, "small factor"),
        ],
        ids=["short", "long", "odd length", "exponent 3", "exponent 1", "factor 3", "factor 751"],
    )
    def test_weak_numbers(self, modulus, exponent, said):
        assert said in (rsa_weakness(modulus, exponent, DEFAULT_RULES) or "")

    def test_a_modulus_of_the_roca_structure(self):
        """Each residue is a power of 65537, as with Infineon's generator."""
        product = math.prod(PRIMES)
        residue = pow(65537, 12_345, product)
        modulus = residue + product * ((1 << 2047) // product + 1)
        while modulus % 2 == 0 or math.gcd(modulus, math.prod(range(169, 752, 2))) != 1:
            modulus += product
        assert "ROCA" in (rsa_weakness(modulus, 65537, DEFAULT_RULES) or "")

    def test_two_primes_close_together(self):
        first = probable_prime(1 << 1023 | 1 << 1022)
        second = probable_prime(first + 2)
        assert "close together" in (rsa_weakness(first * second, 65537, DEFAULT_RULES) or "")

    def test_a_square(self):
        assert "close together" in (rsa_weakness(probable_prime(3 << 1022) ** 2, 65537, DEFAULT_RULES) or "")


def probable_prime(start: int) -> int:
    """The next number that passes Fermat's test, which takes long: most have a small factor."""
    small, candidate = math.prod(PRIMES), start | 1
    while math.gcd(small, candidate) > 1 or pow(2, candidate - 1, candidate) != 1:
        candidate += 2
    return candidate
