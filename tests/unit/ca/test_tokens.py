"""Keys in a real module's tokens: made, found, used, and what is said when a token is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from accredit.app.world import FreshEntropy
from accredit.ca import hierarchy, keys
from accredit.ca.token_keys import ALGORITHMS, RETRY_S, UNAVAILABLE
from accredit.ca.tokens import Tokens
from accredit.domain.errors import Malformed, UpstreamUnavailable
from support.hand_clock import HandClock
from support.soft_hsm import PIN, SoftHsm, soft_hsm

ENTROPY = FreshEntropy()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def hsm() -> Iterator[SoftHsm]:
    made = soft_hsm()
    yield made
    made.put_back()
    made.write_pin(PIN)


@pytest.fixture
def token(hsm) -> str:
    return hsm.make_token()


@pytest.fixture
def tokens(hsm, token, clock) -> Tokens:
    return Tokens(clock, hsm.module, hsm.pin_file)


async def refusal(tokens: Tokens, key) -> str:
    """Why these tokens can't sign with the key now; nothing was signed."""
    key = keys.load(keys.encode(key), tokens)
    with pytest.raises(UpstreamUnavailable) as refused:
        await tokens.check(key)
    with pytest.raises(UpstreamUnavailable) as again:
        keys.algorithm_of(key).sign(key, b"data")
    assert refused.value.rule == again.value.rule == UNAVAILABLE
    return refused.value.message


@pytest.mark.parametrize("algorithm", [each for each in ALGORITHMS if each != "RSA-4096"])
async def test_a_key_is_made_and_found_and_signs(tokens, token, algorithm):
    made = tokens.make(token, "plant issuing 1", algorithm, ENTROPY)
    found = tokens.find(token, "plant issuing 1")
    assert found.where == made.where
    _, pem = hierarchy.signing_request("plant", ENTROPY, algorithm, lambda *_: found)
    request = x509.load_pem_x509_csr(pem.encode())
    assert request.is_signature_valid
    assert keys.algorithm_of(made) is keys.ALGORITHMS[algorithm]
    await tokens.check(made)
    kept = keys.load(keys.encode(made), tokens)
    signature = await tokens.run(keys.algorithm_of(kept).sign, kept, b"data")
    assert len(signature) > 60


async def test_a_token_that_is_pulled_out_and_put_back(tokens, token, hsm, clock):
    key = tokens.make(token, "a", "P-256", ENTROPY)
    hsm.pull()
    assert "no tokens of this label" in await refusal(tokens, key)
    hsm.put_back()
    # Not asked anew for every order that waits.
    assert "no tokens of this label" in await refusal(tokens, key)
    clock.advance(RETRY_S)
    assert len(tokens.warnings) == 1
    await tokens.check(key)
    assert keys.algorithm_of(key).sign(key, b"data")
    assert tokens.warnings == ()


async def test_a_stale_handle_is_looked_up_again(tokens, token, hsm):
    key = tokens.make(token, "a", "P-256", ENTROPY)
    await tokens.check(key)
    hsm.pull()
    hsm.put_back()
    other = Tokens(HandClock(), hsm.module, hsm.pin_file)
    await other.check(key)  # it initializes the module anew: every session of the first one ends
    assert keys.algorithm_of(key).sign(key, b"data")


async def test_what_was_closed_begins_anew(tokens, token, hsm):
    await Tokens(HandClock(), hsm.module, hsm.pin_file).close()  # where nothing was begun
    key = tokens.make(token, "a", "P-256", ENTROPY)
    await tokens.close()
    assert keys.algorithm_of(key).sign(key, b"data")


async def test_a_wrong_pin_is_shown_once(tokens, token, hsm, clock):
    key = tokens.make(token, "a", "P-256", ENTROPY)
    hsm.write_pin("0000")
    fresh = Tokens(clock, hsm.module, hsm.pin_file)
    assert "PinIncorrect" in await refusal(fresh, key)
    for _ in range(12):  # more than any token allows
        clock.advance(RETRY_S)
        assert "is not tried again" in await refusal(fresh, key)
    hsm.write_pin(PIN)
    clock.advance(RETRY_S)
    await fresh.check(key)
    assert keys.algorithm_of(key).sign(keys.load(keys.encode(key), fresh), b"data")
    assert "0000" not in repr(fresh.__dict__)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.chmod(0o644), "chmod 600"),
        (lambda file: file.write_text("\n"), "does not hold a PIN"),
        (lambda file: file.unlink(), "can't be read"),
    ],
)
async def test_the_pin_file(tokens, token, hsm, clock, spoil, reason):
    key = tokens.make(token, "a", "P-256", ENTROPY)
    spoil(hsm.pin_file)
    assert reason in await refusal(Tokens(clock, hsm.module, hsm.pin_file), key)


async def test_without_a_pin_a_private_key_is_not_seen(tokens, token, hsm, clock):
    key = tokens.make(token, "a", "P-256", ENTROPY)
    assert "does not hold the key a" in await refusal(Tokens(clock, hsm.module), key)


async def test_no_module(token, tokens):
    key = tokens.make(token, "a", "P-256", ENTROPY)
    none = Tokens(HandClock())
    kept = keys.load(keys.encode(key), none)
    assert "--pkcs11-module" in await refusal(none, kept)
    for attempt in (lambda: none.make(token, "b", "P-256", ENTROPY), lambda: none.find(token, "a")):
        with pytest.raises(Malformed) as refused:
            attempt()
        assert refused.value.rule == "token-module-missing"


async def test_what_is_no_module(tokens, token, clock, tmp_path: Path):
    key = tokens.make(token, "a", "P-256", ENTROPY)
    (tmp_path / "lib.so").write_text("no library")
    assert "can't be used now" in await refusal(Tokens(clock, tmp_path / "lib.so"), key)


def test_keys_that_can_t_be_found(tokens, token):
    with pytest.raises(UpstreamUnavailable, match="no tokens of this label"):
        tokens.find("elsewhere", "a")
    with pytest.raises(Malformed, match="no private keys labelled a"):
        tokens.find(token, "a")
    for _ in range(2):
        tokens.make(token, "twice", "P-256", ENTROPY)
    with pytest.raises(Malformed, match="2 private keys labelled twice"):
        tokens.find(token, "twice")


async def test_two_tokens_of_one_module(tokens, token, hsm):
    first = tokens.make(token, "a", "P-256", ENTROPY)
    second = tokens.make(hsm.make_token(), "a", "P-256", ENTROPY)
    assert first.public_key() != second.public_key()
    for each in (first, second, first):
        assert keys.algorithm_of(each).sign(each, b"data")


def test_two_halves_that_are_no_pair(hsm, token, clock):
    import pkcs11
    from pkcs11 import Attribute, KeyType
    from pkcs11.util.ec import encode_named_curve_parameters

    library = pkcs11.lib(str(hsm.module))
    library.reinitialize()
    with library.get_token(token_label=token).open(rw=True, user_pin=PIN) as session:
        curve = session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
        )
        first, second = (curve.generate_keypair(store=True, label="odd", id=each) for each in (b"1", b"2"))
        first[0].destroy()
        second[1].destroy()
        first[1][Attribute.ID] = b"2"
    with pytest.raises(Malformed, match="does not verify"):
        Tokens(clock, hsm.module, hsm.pin_file).find(token, "odd")
