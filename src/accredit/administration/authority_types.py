"""The types of certificate authority, and the members that each takes.

What an authority does with its settings is the connector's business (`authorities`); here is only what an operator may
write down. A secret member is write-only, and kept when a replace does not send it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from accredit.domain.authority import AuthorityRecord
from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.policy.destinations import BadDestination, destination
from accredit.values import dataclass, field
from accredit.wire.service_api.authorities import AuthoritySent
from accredit.wire.service_api.certificates import certificate_ders

ADDRESSES = ("url", "baseUrl", "directoryUrl", "endpointUrl")
"""The members that say where secrets are sent."""

MAX_TEXT_CHARS = 512
MAX_PEM_CHARS = 32_768
MAX_VALIDITY_DAYS = 36_500
MAX_TRUST_ANCHORS = 10
"""As many certificates as a connector reads."""

Value = str | int
Check = Callable[[Value, str], Value]


@dataclass(frozen=True, slots=True)
class AuthorityType:
    """`founded`: what it needs beside its members (a key, a certificate) is made here, once.

    `either`: of these sets of members, one must be whole. `drawn`: secrets that nobody sends, of so many random bytes, in hex.
    """

    settings: Mapping[str, Check] = field(default_factory=dict)
    secrets: Mapping[str, Check] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    either: tuple[frozenset[str], ...] = ()
    drawn: Mapping[str, int] = field(default_factory=dict)
    founded: bool = False


def text(value: Value, member: str) -> str:
    """One line of printable characters."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_TEXT_CHARS:
        raise Malformed(
            f"{member} is not a text of at most {MAX_TEXT_CHARS} printable characters.",
            rule="authority-member",
        )
    return value


def text_or_number(value: Value, member: str) -> str:
    """A text that may look like a number, and may be sent as one."""
    return text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value, member)


def credential(value: Value, member: str) -> str:
    """A text that can stand in an HTTP header."""
    if not isinstance(value, str) or not value.isascii() or " " in value:
        raise Malformed(f"{member} is not ASCII without spaces.", rule="authority-member")
    return text(value, member)


def certificates(value: Value, member: str) -> str:
    """PEM text of one or more certificates."""
    if not isinstance(value, str):
        raise Malformed(f"{member} is not PEM text.", rule="authority-member")
    found = len(certificate_ders(value, member))
    if found > MAX_TRUST_ANCHORS:
        raise Malformed(
            f"{member} holds {found} certificates; at most {MAX_TRUST_ANCHORS} are wanted.",
            rule="authority-member",
        )
    return value


def days(value: Value, member: str) -> int:
    if not isinstance(value, int) or not 1 <= value <= MAX_VALIDITY_DAYS:
        raise Malformed(
            f"{member} is not a number of days from 1 to {MAX_VALIDITY_DAYS}.", rule="authority-member"
        )
    return value


def address(value: Value, member: str) -> str:
    """A URL of http or https; where plain http may go is decided when it is connected to."""
    url = text(value, member)
    try:
        destination(url)
    except BadDestination as error:
        raise Malformed(f"{member} is not a usable address: {error}.", rule="authority-member") from None
    return url


def one_of(*names: str) -> Check:
    """One of these texts."""

    def check(value: Value, member: str) -> Value:
        if value not in names:
            raise Malformed(f"{member} is not one of {', '.join(names)}.", rule="authority-member")
        return value

    return check


def pem_text(value: Value, member: str) -> str:
    """Text of several lines that is not looked into here: a key, which its connector loads."""
    if not isinstance(value, str) or not value.isascii() or len(value) > MAX_PEM_CHARS:
        raise Malformed(
            f"{member} is not PEM text of at most {MAX_PEM_CHARS} characters.", rule="authority-member"
        )
    return value


_EVERY_OUTSIDE: Mapping[str, Check] = {"trustAnchors": certificates, "maxValidityDays": days}


def root_place(value: Value, member: str) -> str:
    """Where the root's key is: here, or with somebody who signs our CSR."""
    if value not in ("online", "offline"):
        raise Malformed(f"{member} is not online or offline.", rule="authority-member")
    return str(value)


TYPES: Mapping[str, AuthorityType] = {
    "BuiltIn": AuthorityType(
        settings={"algorithm": text, "root": root_place, "tokenLabel": text, "keyLabel": text}, founded=True
    ),
    "DigiCertCertificateAuthority": AuthorityType(
        settings={
            "flavour": one_of("one", "mpki", "certcentral"),
            "profileName": text,
            "organizationId": text_or_number,
            "baseUrl": address,
            **_EVERY_OUTSIDE,
        },
        secrets={"apiKey": credential},
        required=frozenset({"profileName", "apiKey"}),
    ),
    "Cfssl": AuthorityType(
        settings={"url": address, "label": text, "profile": text, **_EVERY_OUTSIDE},
        secrets={"authKey": credential},
        required=frozenset({"url", "authKey"}),
    ),
    "Vault": AuthorityType(
        settings={
            "url": address,
            "namespace": credential,
            "mount": credential,
            "role": text,
            "roleId": credential,
            **_EVERY_OUTSIDE,
        },
        secrets={"token": credential, "secretId": credential},
        required=frozenset({"url", "role"}),
        either=(frozenset({"token"}), frozenset({"roleId", "secretId"})),
    ),
    "Ejbca": AuthorityType(
        settings={
            "url": address,
            "certificateProfile": text,
            "endEntityProfile": text,
            "certificateAuthority": text,
            "clientCertificate": certificates,
            **_EVERY_OUTSIDE,
        },
        secrets={"clientKey": pem_text},
        required=frozenset(
            {
                "url",
                "certificateProfile",
                "endEntityProfile",
                "certificateAuthority",
                "clientCertificate",
                "clientKey",
            }
        ),
    ),
    "Cmp": AuthorityType(
        settings={"url": address, "reference": text_or_number, "recipient": text, **_EVERY_OUTSIDE},
        secrets={"secret": credential},
        required=frozenset({"url", "reference", "secret"}),
    ),
    "AwsPrivateCa": AuthorityType(
        settings={
            "arn": text,
            "region": text,
            "endpointUrl": address,
            "templateArn": text,
            "accessKeyId": credential,
            **_EVERY_OUTSIDE,
        },
        secrets={"secretAccessKey": credential},
        required=frozenset({"arn", "accessKeyId", "secretAccessKey"}),
    ),
    "Acme": AuthorityType(
        settings={
            "directoryUrl": address,
            "accountEmail": credential,
            "eabKeyId": credential,
            "identifier": text,
            **_EVERY_OUTSIDE,
        },
        secrets={"eabHmacKey": credential},
        required=frozenset({"directoryUrl"}),
        drawn={"accountKey": 32},
    ),
    "Est": AuthorityType(
        settings={
            "url": address,
            "label": text,
            "username": text,
            "clientCertificate": certificates,
            **_EVERY_OUTSIDE,
        },
        secrets={"password": text, "clientKey": pem_text},
        required=frozenset({"url"}),
    ),
    "StepCa": AuthorityType(
        settings={"url": address, "rootFingerprint": text, "provisioner": text, **_EVERY_OUTSIDE},
        secrets={"provisionerKey": pem_text},
        required=frozenset({"url", "rootFingerprint", "provisioner", "provisionerKey"}),
    ),
}


def known(name: str) -> AuthorityType:
    """Raises Malformed, naming the types there are."""
    kind = TYPES.get(name)
    if kind is None:
        raise Malformed(f"certificateAuthorityType is not one of {', '.join(TYPES)}.", rule="authority-type")
    return kind


def read(
    kind: AuthorityType, sent: AuthoritySent, present: AuthorityRecord | None
) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Settings and secrets of the record, each member checked; empty text counts as not sent.

    A replace that sends the CA to another address must send its secrets again: what is write-only would else be shown to
    whoever listens there.
    """
    members = {name: value for name, value in sent.members.items() if value != ""}
    kept = present.secrets if present is not None else {}
    settings = {name: check(members[name], name) for name, check in kind.settings.items() if name in members}
    moved = present is not None and any(
        settings.get(each) != present.settings.get(each) for each in ADDRESSES
    )
    keeping = (*(() if moved else kind.secrets), *kind.drawn)
    secrets = {name: kept[name] for name in keeping if name in kept}
    for name, check in kind.secrets.items():
        if name in members:
            secrets[name] = Secret(str(check(members[name], name)).encode())
    missing = sorted(kind.required - settings.keys() - secrets.keys())
    if missing:
        again = " again, because its address changed" if moved and kind.secrets.keys() & set(missing) else ""
        raise Malformed(f"{sent.type} needs {' and '.join(missing)}{again}.", rule="authority-member")
    if kind.either and not any(members <= settings.keys() | secrets.keys() for members in kind.either):
        ways = ", or ".join(" and ".join(sorted(members)) for members in kind.either)
        raise Malformed(f"{sent.type} needs {ways}.", rule="authority-member")
    return settings, secrets
