"""The CEL library's values as plain Python data."""

from __future__ import annotations

import datetime
from typing import Any, Final

from sampan.apimachinery.cel.counting.values import shown
from sampan.apimachinery.cel.errors import EvaluationError, evaluation_error

_TIMES: Final = (datetime.datetime, datetime.timedelta)


def plain(result: Any) -> Any:
    """Raises EvaluationError for errors, and for optionals, whose conversion the library does not survive."""
    kind = result.type().name()
    if kind == "ERROR":
        raise _failure(result)
    if kind.startswith(("LIST", "MAP")):
        return _container(result)
    value = result.plain_value()
    return shown(value) if isinstance(value, _TIMES) else value


def _container(result: Any) -> Any:
    parts = result.value()
    if isinstance(parts, dict):
        return {key: plain(value) for key, value in parts.items()}
    return [plain(item) for item in parts]


def _failure(result: Any) -> EvaluationError:
    try:
        return evaluation_error(str(result.value()))
    except (TypeError, SystemError):
        return EvaluationError("an optional is no value")
