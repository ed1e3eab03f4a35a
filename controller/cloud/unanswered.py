"""Why a request got no answer, or could not be sent: the kind of error and the host, nothing else.

Errors of requests and urllib3 quote what was sent (the URL with its query, a header's value) and
what a server made of it; a check's error goes into records and to people.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.utils import check_header_validity

_FRAMES_MOST = 20  # errors in a chain of causes that are looked at


def host_of(url: str) -> str:
    """Return a URL's host and port; no name, password, path or query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "its host"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port is not None else host or "its host"


def why_no_answer(error: requests.RequestException) -> str:
    """Return why there was no answer, as a clause that quotes nothing of what was sent."""
    if isinstance(error, requests.ConnectionError) and isinstance(next(iter(error.args), 0), str):
        return str(error)  # a sentence, where urllib3 hands on what it raised: the sandbox's
    for one in _causes(error):
        match one:
            case ssl.SSLCertVerificationError():
                why = getattr(one, "verify_message", "")
                return f"its certificate is not trusted{f': {why}' if why else ''}"
            case ssl.SSLError():
                return (
                    f"TLS failed: {str(one.reason or 'no reason given').replace('_', ' ').lower()}"
                )
            case socket.gaierror():
                return "its name is not known"
            case http.client.RemoteDisconnected():
                return "it hung up without an answer"
            case OSError(errno=int(number)):
                return os.strerror(number).lower()
            case urllib3.exceptions.ReadTimeoutError():
                return "its answer did not end in time"
            case http.client.IncompleteRead():
                return "its answer broke off"
            case _:
                continue
    return "its answer cannot be read"


def why_not_sent(error: Exception, headers: Mapping[str, str]) -> str:
    """Return why a request cannot be sent, as a clause; a header is named, its value is not."""
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return "its body is not JSON"
    for name, value in headers.items():
        try:
            check_header_validity((name, value))
            value.encode("latin-1")
        except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
            return f"the header {name} has a value that no header can have"
    return "its URL is not valid"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what an error came from, the innermost last: its arguments, reasons and causes."""
    waiting, seen = [error], 0
    while waiting and seen < _FRAMES_MOST:
        one, seen = waiting.pop(0), seen + 1
        yield one
        inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        waiting += [each for each in inner if isinstance(each, BaseException)]
