"""Outbound HTTP: where the service may connect to, and an exchange that knows whether anything was sent.

A host name is resolved once, every address is judged by the rules, and the connection goes to a judged address while
TLS and the `Host` header keep the name: a second, different DNS answer can't redirect it. No redirects, cookies,
content codings or proxy environment exist on this path, and answers are cut at a size limit.

Whether a failed call has left bytes at the peer decides what may be done next: `NotSent` says that the peer can't
have acted, `AnswerLost` that it may have. Nothing here knows what is being asked, retries, or logs.
"""

from accredit.egress.answers import AnswerLost, HTTPAnswer, NotSent
from accredit.egress.calls import MAX_CONNECTIONS, Egress, resolved
from accredit.egress.tls import ClientIdentity, tls_context
from accredit.policy.destinations import EgressRules

__all__ = [
    "MAX_CONNECTIONS",
    "AnswerLost",
    "ClientIdentity",
    "Egress",
    "EgressRules",
    "HTTPAnswer",
    "NotSent",
    "resolved",
    "tls_context",
]
