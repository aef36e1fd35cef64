"""Numbers in query parameters, as Go reads them: ASCII digits only, in 64 bits."""

from __future__ import annotations

import re

from sampan.apimachinery.errors import BadRequest

_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")


def integer(text: str) -> int:
    """Raises BadRequest."""
    if not _INTEGER.fullmatch(text):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number
