"""The one table of settings: name, type, default and the sentence for the docs.

A value comes from the command's flag, else the environment `ACCREDIT_*`, else `accredit.toml` in the data folder,
else the default. A bad value is refused with the setting's name and what is allowed; so is an unknown key in the
file. Unknown `ACCREDIT_*` variables are only named in a warning: orchestrators inject such.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from accredit.values import dataclass


class BadSetting(Exception):
    """A setting's value can't be used; the text is one sentence for the operator."""


class BadFlag(BadSetting):
    """The same, where the value came from the command line."""


Parse = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty")
    return value.strip()


def _texts(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("texts, separated by commas")
    return tuple(part.strip() for part in parts if part.strip())


def _path(value: Any) -> Path:
    return Path(_text(str(value) if isinstance(value, Path) else value)).expanduser()


def _paths(value: Any) -> tuple[Path, ...]:
    paths = tuple(_path(part) for part in _texts(str(value) if isinstance(value, Path) else value))
    if not paths:
        raise ValueError("one or more paths, separated by commas")
    return paths


def _whole(low: int, high: int) -> Parse:
    def parse(value: Any) -> int:
        allowed = f"a whole number from {low} to {high}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(allowed)  # noqa: TRY004 - every parser raises ValueError with what is allowed
        try:
            number = int(value)
        except ValueError:
            raise ValueError(allowed) from None
        if not low <= number <= high:
            raise ValueError(allowed)
        return number

    return parse


def _one_of(*allowed: str) -> Parse:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return value.lower()

    return parse


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "yes", "1", "on", "false", "no", "0", "off"}:
        return value.lower() in {"true", "yes", "1", "on"}
    raise ValueError("true or false")


_HTTPS_URL = "a URL that begins with https://, without user, query or fragment"


def _networks(value: Any) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(map(ip_network, _texts(value)))
    except ValueError:
        raise ValueError("addresses or CIDR ranges such as 10.0.0.0/8, separated by commas") from None


def _https_url(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(r"https://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise ValueError(_HTTPS_URL)
    return text


def _witness(value: Any) -> str:
    """An https URL, or the path of a file; empty is no witness."""
    text = value.strip() if isinstance(value, str) else str(value) if isinstance(value, Path) else None
    if text == "":
        return text
    try:
        if text is not None and "://" not in text:
            return str(Path(text).expanduser())
        return str(_https_url(text))
    except (ValueError, RuntimeError):
        raise ValueError("the path of a file, or " + _HTTPS_URL) from None


_SQLITE = "sqlite:///"

HTTP_PORT = 80


_POSTGRESQL = ("postgresql://", "postgres://")


class _Concealed(str):
    """A text with a secret in it, which no repr shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "(concealed)"


def _database(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else None
    if text == "" or (text is not None and text.removeprefix(_SQLITE) not in ("", text)):
        return text
    if text is not None and text.startswith(_POSTGRESQL) and not re.search(r"\s", text):
        return _Concealed(text)
    raise ValueError(
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE (with reserved characters as %XX), "
        "sqlite:///PATH, or nothing for the SQLite file in the data folder"
    )


def _nats(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else None
    if text == "":
        return text
    if text is not None and all(
        re.fullmatch(r"(nats|tls)://[^\s/]+/?", each.strip()) for each in text.split(",")
    ):
        return _Concealed(text)
    raise ValueError("nats://HOST:PORT or tls://HOST:PORT, or several of them, separated by commas")


_PORT = _whole(0, 65_535)


def _public_url(value: Any) -> str:
    text = value.strip().rstrip("/") if isinstance(value, str) else "?"
    if text and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~\-/]*)?", text):
        raise ValueError("an address such as http://ca.example.net or http://ca.example.net:8080/pki")
    return text


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `name` in snake_case gives the flag, the file's key and the variable."""

    name: str
    parse: Parse
    default: Any
    sentence: str
    concealed: bool = False
    """A value may have a secret in it, and is not shown."""

    @property
    def variable(self) -> str:
        return "ACCREDIT_" + self.name.upper()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


SETTINGS: tuple[Setting, ...] = (
    Setting("data_dir", _path, Path("~/.local/share/accredit").expanduser(),
            "The folder that holds the service's state; one service at a time may use it."),
    Setting("host", _texts, ("localhost",),
            "Host names of the service, the first of which is what devices are assigned to; may be given more than once."),
    Setting("bind", _texts, (),
            "Addresses to listen on; loopback only by default."),
    Setting("https_port", _PORT, 443,
            "HTTPS and WebSocket; where 443 needs a missing privilege and was not asked for, 8443 is used."),
    Setting("mqtt_port", _PORT, 8883, "MQTT over TLS."),
    Setting("database_url", _database, "",
            "Where the identity database is: `postgresql://...` or `sqlite:///PATH`; by default `accredit.db` in the data folder.",
            concealed=True),
    Setting("nats_url", _nats, "",
            "NATS with JetStream, by which several processes hear of each other and in which they keep telemetry: "
            "`nats://HOST:PORT` or `tls://...`, several separated by commas; none by default.", concealed=True),
    Setting("nats_replicas", _whole(1, 5), 1, "How many NATS servers keep each message of the telemetry stream."),
    Setting("lease_s", _whole(10, 3_600), 60,
            "How long what a process was doing waits for it before another one goes on with it, in seconds; calls to authorities are given up before."),
    Setting("workers", _whole(1, 256), 1, "Processes that serve; more than one needs PostgreSQL and NATS."),
    Setting("amqp_port", _PORT, 5671, "AMQP over TLS, where the extra `accredit[amqp]` is installed."),
    Setting("proxy_protocol_from", _networks, (),
            "Addresses or CIDR ranges of load balancers that begin each connection with a header of the PROXY protocol, version 2: "
            "from these it is required and believed, on every port but that of the metrics."),
    Setting("public_port", _PORT, 8080, "What must be public and plain: CRLs, OCSP, issuer certificates; 0 is off."),
    Setting("public_url", _public_url, "",
            "The address of the public port as it is baked into certificates; by default http, the first host name and the port."),
    Setting("metrics_port", _PORT, 0, "Metrics in Prometheus' format, over plain HTTP at `/metrics`; 0 is off."),
    Setting("metrics_bind", _texts, (),
            "Addresses that the metrics are served on; loopback only by default. Whoever reaches them may read them."),
    Setting("console_port", _PORT, 8444, "The console; not served by this version."),
    Setting("master_key_file", _paths, (),
            "The key that seals secrets at rest: 32 random bytes, raw or base64, mode 0600; by default `master.key` in the data folder. "
            "Of several files, separated by commas, the first seals and all open."),
    Setting("tls_certificate_file", _path, Path(),
            "PEM chain of the service's own TLS certificate, when it shall not come from the built-in root."),
    Setting("tls_key_file", _path, Path(), "PEM key of `tls_certificate_file`."),
    Setting("pkcs11_module", _path, Path(),
            "The PKCS#11 library of the token (HSM, smart card) that keys of built-in CAs are in; needs the extra `accredit[pkcs11]`."),
    Setting("pkcs11_pin_file", _path, Path(), "File with the PIN of that token, mode 0600; without it none is shown."),
    Setting("digicert_url", _text, "https://one.digicert.com",
            "The DigiCert ONE host; plain http only to a loopback address."),
    Setting("egress_allow", _texts, (),
            "Hosts, `host:port` or CIDR ranges, separated by commas, that may be reached by plain http or on loopback."),
    Setting("key_reuse", _one_of("refuse", "warn", "allow"), "refuse",
            "What happens when a device asks for a certificate for a public key that another device has."),
    Setting("allow_bootstrap_at_hub", _flag, default=False,
            sentence="Whether a device that has a good certificate may still use its symmetric key or bootstrap certificate at the hub."),
    Setting("renewal_grace_s", _whole(0, 365 * 86_400), 0,
            "How long after its end an issued certificate still proves a renewal by registering or EST, in seconds; 0 is not at all."),
    Setting("renewal_in_twin", _flag, default=True,
            sentence="Whether a device that reads its twin finds among its desired properties when its certificate is best renewed."),
    Setting("max_sas_lifetime_s", _whole(0, 10_000_000_000), 0,
            "Longest lifetime of a service token, in seconds; 0 only logs tokens that live longer than 365 days."),
    Setting("oidc_issuer", _https_url, "",
            "The OpenID Connect issuer whose bearer tokens open the service API and the hub's; none by default."),
    Setting("oidc_audience", _texts, ("https://azure-devices-provisioning.net", "https://iothubs.azure.net"),
            "What a bearer token must be for: one of these stands in its `aud`."),
    Setting("oidc_roles_claim", _text, "roles",
            "The claim that names the caller's roles; dots lead into objects, as in `realm_access.roles`."),
    Setting("oidc_reader_roles", _texts, ("reader", "Device Provisioning Service Data Reader"),
            "Values of that claim that may read."),
    Setting("oidc_contributor_roles", _texts, ("contributor", "Device Provisioning Service Data Contributor"),
            "Values of that claim that may do everything but configure the service."),
    Setting("oidc_owner_roles", _texts, ("owner",),
            "Values of that claim that may do everything."),
    Setting("oidc_keys_url", _https_url, "",
            "Where the issuer's keys are (its `jwks_uri`); by default the issuer's own configuration document says it."),
    Setting("oidc_trust_file", _path, Path(),
            "PEM file of further roots that the issuer's TLS may chain to."),
    Setting("log_witness", _witness, "",
            "Where each signed head of the issuance log goes as soon as there is one: a file that grows by a line a head, or an https URL that takes it by POST; by default nowhere."),
    Setting("log_witness_trust_file", _path, Path(),
            "PEM file of further roots that the witness's TLS may chain to."),
    Setting("ca_retry_s", _whole(1, 86_400), 300,
            "How long a registration stays `assigning` while a webhook, its authority or a hub does not answer, in seconds."),
    Setting("orphan_watch_days", _whole(0, 3_650), 30,
            "How long a CA is asked again, ever more seldom, for a certificate that a lost order may have made, so that it can be revoked; 0 is not at all."),
    Setting("patience_ms", _whole(0, 20_000), 1_500,
            "How long a register call waits for whoever is asked outside before it answers `assigning`, in milliseconds."),
    Setting("telemetry_max_age_s", _whole(60, 3_650 * 86_400), 7 * 86_400,
            "Age at which the embedded hub deletes telemetry, in seconds."),
    Setting("telemetry_max_bytes", _whole(1_048_576, 1 << 50), 1 << 30,
            "Size above which the embedded hub deletes the oldest telemetry, in bytes."),
    Setting("max_connections", _whole(1, 1_000_000), 25_000, "Connections held at once over all ports but the public one, which has up to 1000 of its own."),
    Setting("source_connections", _whole(0, 1_000_000), 10_000,
            "Connections that one source address may hold; a whole factory may stand behind one; 0 is no limit."),
    Setting("source_connections_per_second", _whole(0, 1_000_000), 2_000,
            "New connections of one source address in a second, ten times as many at once; 0 is no limit."),
    Setting("failed_proofs_per_minute", _whole(0, 100_000_000), 6_000,
            "Failed proofs and malformed requests of one source address before it is slowed; right proofs are not counted; 0 is no limit."),
    Setting("device_registrations_per_minute", _whole(0, 1_000_000), 0,
            "Register calls of one proven device in a minute; 0 is no limit."),
    Setting("azure_limits", _flag, default=False,
            sentence="Whether Azure's own limits hold too: 1000 registrations and 1000 service calls a minute, 5 polls of a device in 10 s."),
    Setting("pause_after_failures", _whole(0, 1_000_000), 20,
            "Failures in a row after its proof that pause a device until it is resumed; 0 never pauses."),
    Setting("trace_max_age_s", _whole(60, 3_650 * 86_400), 30 * 86_400,
            "Age at which the decision traces of proven devices are deleted, in seconds."),
    Setting("trace_max_count", _whole(0, 100_000_000), 100_000,
            "Decision traces of proven devices that are kept, the newest."),
    Setting("log", _one_of("debug", "info", "warning", "error"), "info", "Lowest level of the log lines on stderr."),
)  # fmt: skip

_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting's value. `explicit` names those that did not come from the default."""

    values: Mapping[str, Any]
    explicit: frozenset[str]
    unknown_variables: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def hub_name(self) -> str:
        """`assignedHub`: the first host name."""
        return str(self.values["host"][0])

    @property
    def public_address(self) -> str | None:
        """What certificates name as the place of CRLs, OCSP and issuers; None where nothing is served."""
        chosen: str = self.values["public_url"]
        port: int = self.values["public_port"]
        if chosen or not port:
            return chosen or None
        host = f"[{self.hub_name}]" if ":" in self.hub_name else self.hub_name
        return f"http://{host}" if port == HTTP_PORT else f"http://{host}:{port}"

    @property
    def postgresql_url(self) -> str | None:
        """With its password; None where the state is in SQLite."""
        url: str = self.values["database_url"]
        return url if url.startswith(_POSTGRESQL) else None

    @property
    def database_path(self) -> Path:
        """The SQLite file. Raises BadSetting where the state is in PostgreSQL."""
        url: str = self.values["database_url"]
        if self.postgresql_url is not None:
            raise BadSetting(
                "database_url names PostgreSQL, and this command works on SQLite: use PostgreSQL's own tools, such as "
                "pg_dump and pg_restore."
            )
        return Path(url.removeprefix(_SQLITE)) if url else self.data_dir / "accredit.db"

    @property
    def master_key_paths(self) -> tuple[Path, ...]:
        """The operator's files, or the one in the data folder."""
        chosen: tuple[Path, ...] = self.values["master_key_file"]
        return chosen or (self.data_dir / "master.key",)


def _checked(setting: Setting, value: Any, origin: str) -> Any:
    try:
        return setting.parse(value)
    except ValueError as error:
        # What stands before the host of a URL may be a password.
        shown = "not shown" if setting.concealed else re.sub(r"://[^/]*@", "://...@", repr(value))
        raise BadSetting(f"{origin} is {shown}, but {setting.name} must be {error}.") from None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path} can't be read: {error}.") from None
    values = {}
    for key, value in table.items():
        setting = _BY_NAME.get(key.replace("-", "_"))
        if setting is None or setting.name == "data_dir":
            allowed = ", ".join(name for name in _BY_NAME if name != "data_dir")
            raise BadSetting(f"{path} has the unknown key {key!r}; allowed are {allowed}.")
        values[setting.name] = _checked(setting, value, f"{key} in {path}")
    return values


def load(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Settle every setting; raises BadSetting. Flags that are None (or empty) count as not given."""
    given: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.variable in environment:
            given[setting.name] = _checked(setting, environment[setting.variable], setting.variable)
    for name, value in flags.items():
        if value is not None and value not in ([], ()):
            try:
                given[name] = _checked(_BY_NAME[name], value, _BY_NAME[name].flag)
            except BadSetting as error:
                raise BadFlag(str(error)) from None
    data_dir: Path = given.get("data_dir", _BY_NAME["data_dir"].default)
    given = {**_from_file(data_dir / "accredit.toml"), **given}
    values = {setting.name: given.get(setting.name, setting.default) for setting in SETTINGS}
    if not values["host"]:
        raise BadSetting("host names nothing; name at least one host.")
    if "tls_key_file" in given and "tls_certificate_file" not in given:
        raise BadSetting("tls_key_file is the key of tls_certificate_file, which is not given; name both.")
    _check_workers(values)
    known = {setting.variable for setting in SETTINGS} | {"ACCREDIT_CONNECTION_STRING"}
    unknown = tuple(
        sorted(name for name in environment if name.startswith("ACCREDIT_") and name not in known)
    )
    return Config(values, frozenset(given), unknown)


def _check_workers(values: Mapping[str, Any]) -> None:
    """Raises BadSetting where more than one process would share what one alone can have."""
    missing = []
    if not values["database_url"].startswith(_POSTGRESQL):
        missing.append("PostgreSQL (database_url; SQLite takes one writing process)")
    if not values["nats_url"]:
        missing.append("NATS (nats_url; by it they hear of each other)")
    if values["workers"] > 1 and missing:
        raise BadSetting(
            f"workers is {values['workers']}, but more than one process needs {' and '.join(missing)}: "
            "set it, or workers to 1."
        )
