"""AWS Signature Version 4: the header fields that authenticate one request.

Canonical request, string to sign, derived key, as AWS documents them ("Create a signed AWS API request"). For requests
whose path is sent as it stands: no segment is normalized and nothing is encoded twice. The caller's clock, nobody else's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from accredit.domain.secret import Secret
from accredit.values import dataclass

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose key signs, and for which service of which region."""

    access_key_id: str
    secret_access_key: Secret
    region: str
    service: str

    def signed(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, now: float
    ) -> dict[str, str]:
        """The given fields with `Host`, `X-Amz-Date` and `Authorization` beside them; each of them is signed."""
        target = urlsplit(url)
        instant = datetime.fromtimestamp(int(now), UTC).strftime("%Y%m%dT%H%M%SZ")
        fields = {**headers, "Host": target.netloc, "X-Amz-Date": instant}
        lines = {name.lower(): " ".join(value.split()) for name, value in fields.items()}
        names = ";".join(sorted(lines))
        canonical = "\n".join(
            [
                method,
                target.path or "/",
                _query(target.query),
                *(f"{name}:{lines[name]}" for name in sorted(lines)),
                "",
                names,
                hashlib.sha256(body).hexdigest(),
            ]
        )
        scope = f"{instant[:8]}/{self.region}/{self.service}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{instant}\n{scope}\n{digest}"
        signature = hmac.new(self._key(scope), text.encode(), hashlib.sha256).hexdigest()
        fields["Authorization"] = (
            f"{_ALGORITHM} Credential={self.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return fields

    def _key(self, scope: str) -> bytes:
        key = b"AWS4" + self.secret_access_key.reveal()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def _query(text: str) -> str:
    pairs = [
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(text, keep_blank_values=True)
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
