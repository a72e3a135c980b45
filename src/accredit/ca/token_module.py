"""A PKCS#11 module (OASIS PKCS #11 v3.0), spoken to by one thread: `token_thread.py` sees to that, and to how long it may take.

Sessions are opened when they are needed, and dropped, with the module's whole state, whenever something fails: a token that
was pulled out, a network module that lost its line and a fork all look alike then, and the next call begins anew. A PIN
that a token refused is not shown to it again: tokens lock themselves after a few.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error

from accredit.ca import der
from accredit.ca.token_keys import ALGORITHMS, ANSWER_LOST, RETRY_S, UNAVAILABLE, Reference, Scheme
from accredit.domain.errors import Malformed, UpstreamUnavailable
from accredit.domain.secret import Secret

_MECHANISMS = {
    Scheme.ECDSA: Mechanism.ECDSA,
    Scheme.RSA: Mechanism.RSA_PKCS,
    Scheme.EDDSA: Mechanism.EDDSA,
}

_CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
}
"""By CKA_EC_PARAMS, the object identifier of a named curve."""

_EC = {curve.name: parameters for parameters, curve in _CURVES.items()}
_MADE = {"P-256": _EC["secp256r1"], "P-384": _EC["secp384r1"]}
_RSA_BITS = {"RSA-3072": 3072, "RSA-4096": 4096}
_WRAPPED_POINTS = frozenset({2 + 32, 2 + 65, 2 + 97})
"""How long a point of Ed25519, P-256 and P-384 is with the header of an OCTET STRING."""

_EDWARDS25519 = der.element(der.PRINTABLE_STRING, b"edwards25519")

_NOT_BEGUN = (
    pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.SessionHandleInvalid,
    pkcs11.SlotIDInvalid,
    pkcs11.TokenNotPresent,
    pkcs11.UserNotLoggedIn,
)
"""What a stale handle is answered with: nothing was signed, and a new session may help."""

_PIN_REFUSED = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinExpired,
    pkcs11.PinLocked,
)


class TokenModule:
    """Every method is called in one thread, and raises UpstreamUnavailable where the token does not do it."""

    def __init__(self, path: Path, pin: Callable[[], Secret | None], monotonic: Callable[[], float]) -> None:
        """`pin` reads the PIN anew, None where none is needed; it raises UpstreamUnavailable where it can't."""
        self._path = path
        self._pin = pin
        self._monotonic = monotonic
        self._library: Any = None
        self._sessions: dict[str, Any] = {}
        self._handles: dict[Reference, Any] = {}
        self._refused: dict[str, bytes] = {}
        self._troubles: dict[str, str] = {}
        self._failed: dict[str | Reference, tuple[float, UpstreamUnavailable]] = {}

    def forget(self) -> None:
        """The process is another one than before: nothing that was opened is good."""
        self._sessions.clear()
        self._handles.clear()

    def close(self) -> None:
        """End every session; the next call begins anew."""
        self._drop()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why tokens could not be used when one of their keys was last needed; asked from any thread."""
        return tuple(self._troubles.values())

    def sign(self, where: Reference, scheme: Scheme, payload: bytes) -> bytes:
        """The raw signature of what is handed in as it stands."""
        with self._noting(where):
            return self._sign(where, scheme, payload)

    def check(self, where: Reference) -> None:
        """Reach the key, without signing anything."""
        with self._noting(where):
            self._check(where)

    @contextlib.contextmanager
    def _noting(self, where: Reference) -> Iterator[None]:
        """Remember how the last use of this token went."""
        try:
            yield
        except UpstreamUnavailable as failure:
            self._troubles = self._troubles | {where.token: failure.message}
            raise
        if where.token in self._troubles:
            self._troubles = {token: told for token, told in self._troubles.items() if token != where.token}

    def _sign(self, where: Reference, scheme: Scheme, payload: bytes) -> bytes:
        for again in (True, False):
            handle = self._handle(where)
            try:
                signature: bytes = handle.sign(payload, mechanism=_MECHANISMS[scheme])
            except _NOT_BEGUN as error:
                self._drop()
                if not again:
                    raise _unavailable(where.token, _told(error)) from None
            except PKCS11Error as error:
                self._drop()
                raise UpstreamUnavailable(
                    f"The token {where.token} failed while it signed: {_told(error)}.",
                    rule=ANSWER_LOST,
                    retry_after_s=RETRY_S,
                ) from None
            else:
                return signature
        raise AssertionError("the second round ends the loop")

    def _check(self, where: Reference) -> None:
        for again in (True, False):
            handle = self._handle(where)
            try:
                handle[Attribute.KEY_TYPE]
            except PKCS11Error as error:
                self._drop()
                if not again:
                    raise _unavailable(where.token, _told(error)) from None
            else:
                return

    def make(self, token: str, label: str, algorithm: str, key_id: bytes) -> Reference:
        """Generate a key pair that signs, and that no one gets out of the token. Raises Malformed, rule `token-key-unfit`."""
        self._session(token)
        attributes: dict[str, Any] = {
            "id": key_id,
            "label": label,
            "store": True,
            "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
            "private_template": {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        }
        try:
            # It shares the other session's login.
            with self._found_token(token).open(rw=True) as session:
                public, _ = _generated(session, algorithm, attributes)
                return Reference(token, label, key_id, _spki(public))
        except PKCS11Error as error:
            self._drop()
            raise Malformed(
                f"The token {token} does not make a key of {algorithm}: {_told(error)}.",
                rule="token-key-unfit",
            ) from None

    def find(self, token: str, label: str) -> Reference:
        """The key pair of this label that is there already. Raises Malformed, rule `token-key-unfit`."""
        session = self._session(token)
        try:
            private = _objects(session, {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label})
            if len(private) != 1:
                count = len(private) or "no"
                raise _unfit(f"The token {token} holds {count} private keys labelled {label}; one is wanted.")
            key_id = bytes(private[0].id or b"")
            same = {Attribute.ID: key_id} if key_id else {Attribute.LABEL: label}
            public = _objects(session, {Attribute.CLASS: ObjectClass.PUBLIC_KEY, **same})
            if not public:
                raise _unfit(
                    f"The token {token} holds no public key of {label}; import it beside the private one."
                )
            return Reference(token, label, key_id, _spki(public[0]))
        except PKCS11Error as error:
            self._drop()
            raise _unavailable(token, _told(error)) from None

    def _handle(self, where: Reference) -> Any:
        known = self._handles.get(where)
        if known is not None:
            return known
        self._check_pause(where)
        stale = where.token in self._sessions
        found = self._looked_up(where)
        if found is None and stale:
            self._drop()
            found = self._looked_up(where)
        if found is None:
            raise self._paused(where, _unavailable(where.token, f"it does not hold the key {where.label}"))
        self._handles[where] = found
        self._failed.pop(where, None)
        return found

    def _looked_up(self, where: Reference) -> Any | None:
        session = self._session(where.token)
        name = {Attribute.LABEL: where.label} | ({Attribute.ID: where.id} if where.id else {})
        try:
            found = _objects(session, {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **name})
            return found[0] if found else None
        except PKCS11Error:
            self._drop()
            return None

    def _session(self, token: str) -> Any:
        known = self._sessions.get(token)
        if known is not None and _alive(known):
            return known
        if known is not None:
            self._drop()
        self._check_pause(token)
        try:
            opened = self._sessions[token] = self._opened(token)
        except UpstreamUnavailable as failure:
            self._drop()
            raise self._paused(token, failure) from None
        self._failed.pop(token, None)
        return opened

    def _check_pause(self, what: str | Reference) -> None:
        """To begin anew costs a token more than a signature does: who asks soon after a failure hears the same again."""
        until, failure = self._failed.get(what, (0.0, None))
        if failure is not None and self._monotonic() < until:
            raise failure

    def _paused(self, what: str | Reference, failure: UpstreamUnavailable) -> UpstreamUnavailable:
        self._failed[what] = (self._monotonic() + RETRY_S, failure)
        return failure

    def _opened(self, token: str) -> Any:
        pin = self._pin()
        shown = b"" if pin is None else sha256(pin.reveal()).digest()
        if self._refused.get(token) == shown:
            raise _unavailable(
                token, "it refused the PIN, which is not tried again; write the right one into its file"
            )
        try:
            if not self._sessions:
                self._begin_anew()
            found = self._found_token(token)
            session = found.open(user_pin=None if pin is None else pin.reveal().decode())
        except _PIN_REFUSED as error:
            self._refused[token] = shown
            raise _unavailable(token, f"it refused the PIN: {_told(error)}") from None
        except PKCS11Error as error:
            raise _unavailable(token, _told(error)) from None
        self._refused.pop(token, None)
        return session

    def _found_token(self, label: str) -> Any:
        found = list(self._library.get_tokens(token_label=label))
        if not found and self._sessions:
            self._drop()  # of others: some modules look for tokens only when they begin
            self._begin_anew()
            found = list(self._library.get_tokens(token_label=label))
        if len(found) != 1:
            count = len(found) or "no"
            raise _unavailable(label, f"{self._path.name} shows {count} tokens of this label, not one")
        return found[0]

    def _begin_anew(self) -> None:
        """Initialize the module afresh, whatever it was before: its slots are looked through anew, sessions end."""
        self._library = pkcs11.lib(str(self._path))
        self._finalize()
        self._library = pkcs11.lib(str(self._path))

    def _drop(self) -> None:
        self.forget()
        self._finalize()

    def _finalize(self) -> None:
        if self._library is not None:
            with contextlib.suppress(PKCS11Error):
                self._library.finalize()


def _alive(session: Any) -> bool:
    """Whether the session stands. A search in one that does not can't be ended in order."""
    try:
        session.generate_random(64)
    except (pkcs11.RandomNoRNG, pkcs11.FunctionNotSupported):
        return True
    except PKCS11Error:
        return False
    return True


def _objects(session: Any, template: dict[Any, Any]) -> list[Any]:
    """Read to the end: a search that is left half-way keeps the session from the next one."""
    return list(session.get_objects(template))


def _generated(session: Any, algorithm: str, attributes: dict[str, Any]) -> tuple[Any, Any]:
    if algorithm in _RSA_BITS:
        return tuple(session.generate_keypair(KeyType.RSA, _RSA_BITS[algorithm], **attributes))
    if algorithm in _MADE:
        kind, parameters, mechanism = KeyType.EC, _MADE[algorithm], Mechanism.EC_KEY_PAIR_GEN
    else:
        kind, parameters, mechanism = KeyType.EC_EDWARDS, _EDWARDS25519, Mechanism.EC_EDWARDS_KEY_PAIR_GEN
    domain = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: parameters}, local=True)
    return tuple(domain.generate_keypair(mechanism=mechanism, **attributes))


def _spki(public: Any) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a public key object. Raises Malformed for a kind that no CA of ours has."""
    try:
        key = _public_key(public)
    except ValueError as error:
        raise _unfit(f"The public key {public.label} in the token can't be read: {error}.") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_key(public: Any) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    kind = public.key_type
    if kind == KeyType.RSA:
        exponent, modulus = public[Attribute.PUBLIC_EXPONENT], public[Attribute.MODULUS]
        numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
        return numbers.public_key()
    point = _unwrapped(bytes(public[Attribute.EC_POINT]))
    if kind == KeyType.EC_EDWARDS:
        return ed25519.Ed25519PublicKey.from_public_bytes(point)
    if kind == KeyType.EC:
        curve = _CURVES.get(bytes(public[Attribute.EC_PARAMS]))
        if curve is not None:
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    raise ValueError(f"it is none of {', '.join(ALGORITHMS)}")


def _unwrapped(point: bytes) -> bytes:
    """The point in the OCTET STRING that the standard asks for, or as some modules have it, without one."""
    return point[2:] if len(point) in _WRAPPED_POINTS else point


def _told(error: PKCS11Error) -> str:
    """The module's answer by its name in the standard's words, without its number: CKR_PIN_INCORRECT is PinIncorrect here."""
    said = str(error)
    return f"{type(error).__name__} ({said})" if said else type(error).__name__


def _unavailable(token: str, why: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        f"The token {token} can't be used now: {why}.", rule=UNAVAILABLE, retry_after_s=RETRY_S
    )


def _unfit(sentence: str) -> Malformed:
    return Malformed(sentence, rule="token-key-unfit")
