"""Errors of fields, in the words of kube-apiserver (k8s.io/apimachinery/pkg/util/validation/field).

A validation function returns a list of `FieldError`; the API server turns it into one `Invalid` Status with a cause for
each. `Path` builds the field's path: `Path("spec").child("containers").index(0).child("name")` reads
`spec.containers[0].name`.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final


class ErrorType(enum.Enum):
    """The reason of a StatusCause, and the words upstream prints for it."""

    NOT_FOUND = ("FieldValueNotFound", "Not found")
    REQUIRED = ("FieldValueRequired", "Required value")
    DUPLICATE = ("FieldValueDuplicate", "Duplicate value")
    INVALID = ("FieldValueInvalid", "Invalid value")
    NOT_SUPPORTED = ("FieldValueNotSupported", "Unsupported value")
    FORBIDDEN = ("FieldValueForbidden", "Forbidden")
    TOO_LONG = ("FieldValueTooLong", "Too long")
    TOO_MANY = ("FieldValueTooMany", "Too many")
    INTERNAL = ("InternalError", "Internal error")
    TYPE_INVALID = ("FieldValueTypeInvalid", "Invalid value")

    @property
    def reason(self) -> str:
        return self.value[0]

    @property
    def words(self) -> str:
        return self.value[1]


OMITTED: Final = object()
"""As the value of an `invalid`: one that is secret or too long to show."""

_WITHOUT_VALUE = {ErrorType.REQUIRED, ErrorType.FORBIDDEN, ErrorType.TOO_LONG, ErrorType.INTERNAL}


class Path:
    """A field's path, never changed. A check makes many and shows few, so a path is a link to its parent and becomes
    text when it is shown."""

    __slots__ = ("_parent", "_step", "_text")

    def __init__(self, text: str | None = "", parent: Path | None = None, step: str | int = "") -> None:
        self._text = text
        self._parent = parent
        self._step = step

    def child(self, *names: str) -> Path:
        path = self
        for name in names:
            path = Path(None, path, name)
        return path

    def index(self, position: int) -> Path:
        return Path(None, self, position)

    def key(self, name: str) -> Path:
        return Path(f"{self.text}[{name}]")

    @property
    def text(self) -> str:
        if self._text is None:
            above, step = self._parent.text if self._parent is not None else "", self._step
            if isinstance(step, int):
                self._text = f"{above}[{step}]"
            else:
                self._text = f"{above}.{step}" if above else step
        return self._text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Path({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field. `value` is what was found, shown as upstream shows it."""

    type: ErrorType
    field: str
    value: Any = None
    detail: str = ""

    @property
    def body(self) -> str:
        """The message without the field: `Invalid value: "x": must be …`."""
        text = self.type.words
        if self.type not in _WITHOUT_VALUE and self.value is not OMITTED:
            text += f": {_shown(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(path: Path, detail: str = "") -> FieldError:
    return FieldError(ErrorType.REQUIRED, str(path), "", detail)


def invalid(path: Path, value: Any, detail: str) -> FieldError:
    return FieldError(ErrorType.INVALID, str(path), value, detail)


def not_supported(path: Path, value: Any, supported: Iterable[str]) -> FieldError:
    """`Unsupported value: "x": supported values: "A", "B"`."""
    listed = ", ".join(json.dumps(item) for item in sorted(supported))
    return FieldError(ErrorType.NOT_SUPPORTED, str(path), value, f"supported values: {listed}" if listed else "")


def duplicate(path: Path, value: Any) -> FieldError:
    return FieldError(ErrorType.DUPLICATE, str(path), value)


def forbidden(path: Path, detail: str) -> FieldError:
    return FieldError(ErrorType.FORBIDDEN, str(path), "", detail)


def not_found(path: Path, value: Any) -> FieldError:
    return FieldError(ErrorType.NOT_FOUND, str(path), value)


def too_long(path: Path, limit_bytes: int) -> FieldError:
    return FieldError(ErrorType.TOO_LONG, str(path), "", f"may not be more than {limit_bytes} bytes")


def too_many(path: Path, count: int, limit: int) -> FieldError:
    return FieldError(ErrorType.TOO_MANY, str(path), count, f"must have at most {limit} items")
