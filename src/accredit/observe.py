"""One log vocabulary: JSON lines on stderr, formatted by a writer thread off the hot path.

Secrets can't reach a line: `Secret` renders redacted, and no call site passes key material as text.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msgspec.json import Encoder

LEVELS = ("debug", "info", "warning", "error")

Take = Callable[[str, str, dict[str, Any]], None]
"""What is done with a line: its level, its event, its fields. `exc_info` among these is a trace, told as `logging` has it."""


class Log:
    """Where the process says what happens: a method for each level. Until `lead`, only what is wrong is told, on stderr."""

    def __init__(self) -> None:
        self.lowest = "warning"
        self.take: Take = _to_stderr

    def lead(self, lowest: str, take: Take) -> None:
        """From now on `take` is given the lines of the level `lowest` and above."""
        self.lowest, self.take = lowest, take

    def debug(self, event: str, /, **fields: Any) -> None:
        self._say("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        self._say("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        self._say("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        self._say("error", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """An error, with the trace of the exception that is being handled."""
        self._say("error", event, {"exc_info": True, **fields})

    def _say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS.index(level) >= LEVELS.index(self.lowest):
            self.take(level, event, fields)


def _to_stderr(level: str, event: str, fields: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(_rendered(_line(level, event, fields)))


log = Log()

EVENTS: Mapping[str, str] = {
    "allowed-registrations-changed": "The list of ids that a group is open to was changed.",
    "amqp-attach-failed": "A defect while an AMQP link of a hub device was attached; the trace stands in the line.",
    "amqp-cbs-failed": "A defect while a token was judged on the `$cbs` link; the trace stands in the line.",
    "amqp-closed": "An AMQP connection was ended from our side, and why.",
    "amqp-connection-broken": "A defect in an AMQP connection; the trace stands in the line.",
    "amqp-dps-failed": "A defect while an AMQP request to DPS was answered; the trace stands in the line.",
    "amqp-link-refused": "An AMQP link was refused: its address, its direction, or who asked for it.",
    "amqp-login-failed": "A defect in a SASL exchange; the trace stands in the line.",
    "amqp-login-refused": "A SASL exchange ended without a proof.",
    "amqp-not-served": "AMQP is not served, because its engine is not installed.",
    "authority-deleted": "An operator removed a certificate authority.",
    "authority-keys-changed": "An operator rotated, activated or revoked an issuing CA of our own.",
    "authority-saved": "An operator created or replaced a certificate authority.",
    "bulk-item-refused": "One enrollment of a bulk operation was refused.",
    "bus-back": "The bus between the processes of the service works again.",
    "bus-lost": "The bus between the processes of the service is down: they look into the database instead.",
    "bus-word-failed": "A defect while a word of another process was heard; the trace stands in the line.",
    "ca-answer-lost": "A CA was asked for a certificate and its answer was lost; it is looked up before it is asked again.",
    "ca-certificate-code-made": "A verification code was made for an uploaded CA certificate.",
    "ca-certificate-deleted": "An operator removed an uploaded CA certificate.",
    "ca-certificate-saved": "An operator uploaded or replaced a CA certificate.",
    "ca-certificate-verified": "The possession of an uploaded CA certificate's key was proven.",
    "ca-deferred": "A CA did not take an order now; it is asked again.",
    "ca-failover": "A CA did not take an order again, and the next one that the enrollment names is asked.",
    "certificate-profile-deleted": "An operator removed a certificate profile.",
    "certificate-profile-saved": "An operator created or replaced a certificate profile.",
    "certificate-revoked-outside": "The CA of a revoked certificate was told, could not be told, or will be told again.",
    "commit-settled": "A connection was lost while a transaction was on its way, and the database has told whether it came to pass.",
    "connections-at-ceiling": "As many connections are open as may be; told once until there is room again.",
    "connections-cut": "Connections that did not end within the grace of a stop were cut.",
    "connector-failed": "A defect in a connector; the trace stands in the line, the order goes on as if its answer was lost.",
    "database-connection-lost": "A connection to PostgreSQL was lost, and why; another one is being made.",
    "device-api-failed": "A defect in the device API; the trace stands in the line.",
    "device-paused": "A device failed so often in a row after its proof that it waits for the operator.",
    "device-readmitted": "An operator let a revoked device in again.",
    "device-released": "A device was removed from the hub that it had left.",
    "device-resumed": "An operator let a paused device go on.",
    "twin-failed": "A defect while a request about a twin was answered; the trace stands in the line.",
    "twin-refused": "A device's request about its twin was refused, and why.",
    "mass-revocation-begun": "An operator began to revoke a whole group or authority; nothing of it is let in any more.",
    "mass-revocation-ended": "The revocation of a whole group or authority is done, as far as it is ours.",
    "mass-revocation-failed": "A defect while a whole group or authority is revoked; the trace stands in the line, and it is tried again.",
    "device-revoked": "An operator revoked a device.",
    "enrollment-deleted": "An operator removed an enrollment or group.",
    "enrollment-saved": "An operator created or replaced an enrollment or group.",
    "est-failed": "A defect in the front of EST; the trace stands in the line.",
    "housekeeping-failed": "A defect in the hourly housekeeping; the trace stands in the line.",
    "http-call-failed": "A defect in an HTTPS call; the trace stands in the line.",
    "http-server-fault": "The HTTP library complained of something.",
    "https-port-fallback": "443 needs a privilege that is missing, so another port is served.",
    "hub-connect-postponed": "A device's connection could not be judged now; it is told to try again.",
    "hub-connect-refused": "A device may not connect to the hub, and why.",
    "hub-connected": "A device connected to the hub.",
    "hub-identity-deleted": "A hub identity was removed over the registry API.",
    "hub-identity-saved": "A hub identity was created or replaced over the registry API.",
    "hub-link-silent": "A device attached a link on which this hub sends nothing yet.",
    "hub-linked": "An operator linked a hub, or changed how.",
    "hub-message-refused": "A device's message was refused, and why.",
    "hub-subscribe-refused": "A device subscribed to what this hub does not send.",
    "hub-token-refused": "A token on the `$cbs` link was refused.",
    "hub-unavailable": "A hub elsewhere did not take a device now; it is asked again.",
    "hub-unlinked": "An operator unlinked a hub.",
    "issuer-keys-not-read": "The keys of the OpenID Connect issuer could not be read.",
    "issuer-keys-read": "The keys of the OpenID Connect issuer were read.",
    "key-shared": "A device was given a certificate for a key that another device has, as `key_reuse` allows.",
    "log-head-witnessed": "The issuance log's witness has taken the head of this size.",
    "log-proof-impossible": "Hashes of the issuance log's tree are gone, so that a device got no proof of its certificate.",
    "log-sequencing-failed": "A defect in the issuance log's sequencer; the trace stands in the line.",
    "log-sequencing-postponed": "New leaves of the issuance log get their places a little later.",
    "log-witness-behind": "The issuance log's witness did not take a head; it is shown again, with what is newer.",
    "log-witness-contradicted": "The issuance log is not what its witness took last: find out who has changed or replaced the database.",
    "log-witness-failed": "A defect while a head was shown to the witness; the trace stands in the line.",
    "log-witness-in-data-folder": "The witness's file stands in the data folder, where who changes the log may change it too.",
    "lost-order-not-looked-up": "A CA could not be asked what an order has made whose answer was lost; it is asked again.",
    "lost-orders-failed": "A defect while lost orders were looked up; the trace stands in the line.",
    "master-key-in-data-folder": "The master key stands in the data folder, so a copy of that carries it.",
    "mqtt-closed": "An MQTT connection was ended from our side, and why.",
    "mqtt-connect-failed": "A defect while a CONNECT was judged; the trace stands in the line.",
    "mqtt-connect-refused": "A CONNECT was refused with this code.",
    "mqtt-conversation-broken": "A defect in an MQTT connection; the trace stands in the line.",
    "mqtt-dps-failed": "A defect while an MQTT request to DPS was answered; the trace stands in the line.",
    "one-time-password-made": "An operator made a one-time password for a device.",
    "open-files-limited": "Fewer connections are taken than the settings say, because the process may not open more files.",
    "operations-not-swept": "A defect while operations that other processes left were looked for; the trace stands in the line.",
    "order-failed": "A defect in an operation; the trace stands in the line, and it is tried again.",
    "outside-revocations-failed": "A defect while outside CAs were told of revocations; the trace stands in the line.",
    "policy-deleted": "An operator removed a shared access policy.",
    "policy-rotated": "An operator made a key of a policy anew.",
    "policy-saved": "An operator created or replaced a policy.",
    "port-not-served": "A port was set that this version does not serve.",
    "proxy-header-refused": "A connection of a listed load balancer did not begin with a header of the PROXY protocol, version 2.",
    "public-url-assumed": "The address that goes into certificates was not set; this one is used.",
    "registration": "One register call, or the end of its operation: `outcome` is assigned, failed or refused.",
    "registration-deleted": "An operator removed a registration.",
    "registration-moved": "An operator handed a registration to another enrollment.",
    "release-failed": "A defect while a device was removed from the hub that it had left; the trace stands in the line.",
    "release-postponed": "A hub did not remove a device now; it is asked again.",
    "renewal-failed": "A defect while a renewal over a hub was answered; the trace stands in the line.",
    "renewal-refused": "A renewal that a device asked for over its hub was refused.",
    "renewal-unfinished": "The service stops while a renewal is under way; the next start goes on with it.",
    "sas-lives-long": "A token lives longer than 365 days.",
    "serial-collision": "A CA used a serial number twice.",
    "server-certificate-made": "The service made a TLS certificate for itself.",
    "service-call-failed": "A defect in the service API; the trace stands in the line.",
    "service-call-refused": "A call of the service API was refused, and why.",
    "serial-lost": "A serial number that a PKCS#11 token may have signed is no certificate on record; it is revoked.",
    "serials-not-released": "Reserved serial numbers that were not used could not be released at the stop.",
    "session-cuts-failed": "A defect while connections were looked for that other processes end; the trace stands in the line.",
    "settings-not-followed": "A defect while this process followed what another one has changed; the trace stands in the line.",
    "source-at-ceiling": "A source address has as many connections as it may have, or opens them too fast.",
    "started": "The service is ready.",
    "store-unavailable": "The database can't commit or be read now.",
    "stray-certificate": "A CA signed what was not ordered, or more than was: it is refused, and revoked where the CA can be told.",
    "telemetry-unavailable": "The stream for telemetry can't be made or reached; devices' messages are not acknowledged until it can.",
    "telemetry-bug": "A defect in the telemetry log; messages were not acknowledged.",
    "telemetry-damaged": "A record of the telemetry log is damaged and is passed over; told once for each segment.",
    "telemetry-index-rebuilt": "The index of a telemetry segment was missing or damaged, and was made anew.",
    "telemetry-not-swept": "Old telemetry could not be deleted now.",
    "telemetry-tail-cut": "A crash had left a message half written, acknowledged to nobody; it was cut off.",
    "telemetry-taken-over": "The messages of an earlier version's telemetry.db were taken over into segments.",
    "tls-connection-failed": "A TLS connection ended with an error.",
    "tls-handshake-failed": "A TLS handshake failed.",
    "token-key-made": "A key was made in a PKCS#11 token; if no certificate came of it, it is left there.",
    "token-unavailable": "A CA of our own can't sign now, because its PKCS#11 token can't be reached.",
    "trace-not-kept": "A decision trace could not be made durable; it is kept in this process.",
    "traces-not-exported": "The environment asks for OpenTelemetry traces, and the extra for them is not installed.",
    "trust-bundle-deleted": "An operator removed a trust bundle.",
    "trust-bundle-saved": "An operator created or replaced a trust bundle.",
    "unknown-setting": "The environment has an `ACCREDIT_` variable that is no setting.",
    "webhook-silent": "A webhook did not answer as it should; it is asked again.",
    "worker-died": "A worker process ended and is started again; what it had begun is gone on with by the others.",
    "worker-killed": "A worker process did not stop in time and was killed.",
    "log-lines-dropped": "Lines came faster than they could be written; so many are missing.",
    "log-line-lost": "A line had a value that can't be written as JSON.",
}  # fmt: skip
"""Every event that a log line may have, and what it tells: `docs/events.md` is made from this."""

_QUEUE_LINES = 20_000
_BATCH_LINES = 2_000
_GATHER_S = 0.02
"""How long a line may wait for others."""


class LineWriter:
    """Writes log lines from its own thread in batches; a full queue drops lines and says how many."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._queue: queue.SimpleQueue[Callable[[], str] | None] = queue.SimpleQueue()
        self._dropped = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: Callable[[], str]) -> None:
        if self._queue.qsize() >= _QUEUE_LINES:
            self._dropped += 1
            return
        self._queue.put(line)

    def close(self) -> None:
        """Return when every line queued so far is written."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            entry = self._queue.get()
            # To wake this thread costs who writes a line more than the line: let some gather first.
            if entry is not None:
                self._closing.wait(_GATHER_S)
            batch: list[str] = []
            while entry is not None:
                batch.append(_rendered(entry))
                if len(batch) >= _BATCH_LINES or self._queue.empty():
                    break
                entry = self._queue.get()
            going_on = entry is not None
            self._write(batch)

    def _write(self, batch: list[str]) -> None:
        if self._dropped:
            batch.append(f'{{"level":"warning","event":"log-lines-dropped","count":{self._dropped}}}\n')
            self._dropped = 0
        # A closed stderr must not stop the service.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("".join(batch))
            self._stream.flush()


def _rendered(line: Callable[[], str]) -> str:
    """A value that has no JSON costs its own line, and not the thread that writes all others."""
    try:
        return line()
    except Exception as error:  # noqa: BLE001 - whatever a field's value raises when it is rendered
        return f'{{"level":"error","event":"log-line-lost","reason":"{type(error).__name__}"}}\n'


def configure(level: str, stream: IO[str] | None = None) -> LineWriter:
    """Set the process's logging up once; returns the writer, to be closed last."""
    writer = LineWriter(stream if stream is not None else sys.stderr)
    log.lead(level, lambda *said: writer.write(_line(*said)))
    return writer


def _line(level: str, event: str, fields: dict[str, Any]) -> Callable[[], str]:
    """The instant and the trace are of now; the text can be made later."""
    told = {**fields, "event": event, "level": level, "timestamp": time.time()}
    trace = _trace(told.pop("exc_info", None))
    if trace:
        told["exception"] = trace
    return lambda: _json(told)


def _trace(exc_info: Any) -> str:
    if exc_info is True:
        exc_info = sys.exception()
    elif isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    return "".join(traceback.format_exception(exc_info)).rstrip() if exc_info else ""


def _json(told: dict[str, Any]) -> str:
    told["timestamp"] = datetime.fromtimestamp(told["timestamp"], UTC).isoformat()
    return _encoder().encode(told).decode() + "\n"


@cache
def _encoder() -> Encoder:
    from msgspec.json import Encoder  # noqa: PLC0415 - a command that logs nothing need not load it

    return Encoder(enc_hook=str)
