"""Fields of a configuration document, read strictly: a wrong type and an unknown name are errors that name the field.

`Fields` stands for one object in the document. What is read is remembered, so `done` can say what nobody asked for.
All objects of a document share one list of errors: everything wrong is reported at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sampan.apimachinery.duration import parse_go_duration
from sampan.apimachinery.field import FieldError, Path, invalid


class ConfigurationError(ValueError):
    """The configuration cannot be used; `errors` has every reason."""

    def __init__(self, errors: list[FieldError], unknown: list[str] | None = None) -> None:
        self.errors = errors
        texts = [*(f'unknown field "{field}"' for field in unknown or []), *map(str, errors)]
        super().__init__(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


class Fields:
    """One object of the document, at `path`."""

    def __init__(self, document: Any, path: Path, errors: list[FieldError], unknown: list[str]) -> None:
        self.path = path
        self.errors = errors
        self._unknown = unknown
        self._read: set[str] = set()
        self._document: Mapping[str, Any] = {}
        if isinstance(document, Mapping):
            self._document = document
        elif document is not None:
            errors.append(invalid(path, document, "must be an object"))

    def __contains__(self, name: str) -> bool:
        return self._document.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def raw(self, name: str) -> Any:
        """Whatever is there, None if nothing is."""
        self._read.add(name)
        return self._document.get(name)

    def text(self, name: str, default: str = "") -> str:
        return str(self._typed(name, str, "a string", default))

    def integer(self, name: str, default: int = 0) -> int:
        return int(self._typed(name, int, "an integer", default))

    def number(self, name: str, default: float = 0.0) -> float:
        return float(self._typed(name, (int, float), "a number", default))

    def boolean(self, name: str, default: bool = False) -> bool:
        return bool(self._typed(name, bool, "true or false", default))

    def seconds(self, name: str, default: float) -> float:
        """A metav1.Duration, as `15s` or `1m30s`."""
        found = self.text(name)
        if not found:
            return default
        try:
            return parse_go_duration(found).total_seconds()
        except ValueError as error:
            self.errors.append(invalid(self.path.child(name), found, str(error)))
            return default

    def texts(self, name: str) -> tuple[str, ...]:
        found = self._list(name)
        for position, item in enumerate(found):
            if not isinstance(item, str):
                self.errors.append(invalid(self.path.child(name).index(position), item, "must be a string"))
        return tuple(item for item in found if isinstance(item, str))

    def object(self, name: str) -> Fields:
        """An object below; an empty one if it is missing."""
        return Fields(self.raw(name), self.path.child(name), self.errors, self._unknown)

    def objects(self, name: str) -> list[Fields]:
        """The objects of a list."""
        path = self.path.child(name)
        return [
            Fields(item, path.index(position), self.errors, self._unknown)
            for position, item in enumerate(self._list(name))
        ]

    def done(self) -> None:
        """Everything that may be here has been read."""
        self._unknown += [str(self.path.child(name)) for name in self._document if name not in self._read]

    def _list(self, name: str) -> list[Any]:
        found = self.raw(name)
        if found is None or isinstance(found, list):
            return found or []
        self.errors.append(invalid(self.path.child(name), found, "must be a list"))
        return []

    def _typed(self, name: str, types: type | tuple[type, ...], what: str, default: Any) -> Any:
        found = self.raw(name)
        if found is None:
            return default
        if not isinstance(found, types) or (isinstance(found, bool) and types is not bool):
            self.errors.append(invalid(self.path.child(name), found, f"must be {what}"))
            return default
        return found
