"""Why a server could not be reached, and what may be done about it, in words."""

import socket
import ssl
from typing import Final
from urllib.parse import urlsplit, urlunsplit

__all__ = ["reason_of"]

_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
"""X509_V_ERR_...: self-signed, alone or in its chain; issuer unknown; leaf unverified."""

_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""What OpenSSL calls an answer that is none of TLS."""

_TWIN: Final = {"http": "https", "https": "http", "ws": "https", "wss": "http"}


def reason_of(error: Exception, url: str) -> str:
    """Return why opening ``url`` failed: what went wrong, and what to try."""
    parts = urlsplit(url)
    twin = urlunsplit((_TWIN[parts.scheme], parts.netloc, parts.path.removesuffix("/ws"), "", ""))
    secure = parts.scheme in {"https", "wss"}
    match error:
        case ssl.SSLCertVerificationError(verify_code=code, verify_message=message):
            text = f"its certificate is not trusted ({message.rstrip('.')})"
            if code in _UNKNOWN_AUTHORITY:
                text += "; if it is the right one, pass it with --ca-file, or as ca_file to join"
            return text
        case ssl.SSLError(reason=str(word)) if word in _NO_TLS:
            return f"it does not speak https: try {twin}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case socket.gaierror():
            return f"{parts.hostname} is no name that can be found ({error.strerror or error})"
        case _ if not secure and _hung_up(error):
            return f"it hung up without an answer; if it speaks https, try {twin}"
        case _:
            return str(error) or type(error).__name__


def _hung_up(error: BaseException | None) -> bool:
    """Tell whether the server ended the connection instead of answering, as TLS servers do."""
    while error is not None:
        if isinstance(error, EOFError | ConnectionResetError):
            return True
        error = error.__cause__
    return False
