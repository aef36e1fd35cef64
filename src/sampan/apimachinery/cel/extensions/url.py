"""URLs: `url("https://a:80/b?c=d").getHostname()`."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from sampan.apimachinery.cel.function import Function, method
from sampan.apimachinery.cel.opaque import URL, pack, text_of


def _split(text: str) -> SplitResult:
    """An absolute URI or an absolute path. Raises ValueError."""
    if any(character <= " " or character == "\x7f" for character in text):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid character in URL')
    parts = urlsplit(text)
    if not parts.scheme and not text.startswith("/"):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    _ = parts.port
    return parts


def _parse(text: str) -> Any:
    _split(text)
    return pack(URL, text)


def _is_url(text: str) -> bool:
    try:
        _split(text)
    except ValueError:
        return False
    return True


def _parts(value: Any) -> SplitResult:
    return urlsplit(text_of(value))


def _host(value: Any) -> str:
    return _parts(value).netloc.rpartition("@")[2]


def _port(value: Any) -> str:
    port = _parts(value).port
    return "" if port is None else str(port)


FUNCTIONS = (
    Function("url", ("string",), URL, _parse),
    Function("isURL", ("string",), "bool", _is_url),
    method("getScheme", (URL,), "string", lambda value: _parts(value).scheme),
    method("getHost", (URL,), "string", _host),
    method("getHostname", (URL,), "string", lambda value: _parts(value).hostname or ""),
    method("getPort", (URL,), "string", _port),
    method("getEscapedPath", (URL,), "string", lambda value: quote(_parts(value).path, safe="/%:@!$&'()*+,;=~")),
    method("getQuery", (URL,), "map(string, list(string))",
           lambda value: parse_qs(_parts(value).query, keep_blank_values=True)),
)
