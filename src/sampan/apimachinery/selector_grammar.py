"""The grammar of label selectors in their text form, as k8s.io/apimachinery/pkg/labels reads it.

    selector    = requirement { "," requirement }
    requirement = key | "!" key | key ("=" | "==" | "!=" | ">" | "<") [value] | key ("in" | "notin") "(" values ")"

A recursive descent over tokens; `in` and `notin` are words of the language only where an operator may stand. The
messages name what was found and what was expected, in upstream's words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery import names

_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>]+)|$)")
_OPERATORS: Final = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt", "in": "in", "notin": "notin"}
_EXPECTED_OPERATORS: Final = "in, notin, =, ==, !=, gt, lt"


class SelectorError(ValueError):
    """The text is not a selector; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Term:
    """One requirement as written: key, operator (in, notin, =, ==, !=, gt, lt, exists, `!`), sorted values."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_word: bool


_END: Final = _Token("", False)


def parse_terms(text: str) -> list[Term]:
    """The requirements of a selector, in the order written. Raises SelectorError."""
    return _Parser(text).selector()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _scan(text)
        self._position = 0

    def selector(self) -> list[Term]:
        terms: list[Term] = []
        while True:
            token = self._peek()
            if token is _END:
                return terms
            if not token.is_word and token.text != "!":
                raise SelectorError(f"found '{token.text}', expected: !, identifier, or 'end of string'")
            try:
                terms.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            token = self._next()
            if token is _END:
                return terms
            if token.text != ",":
                raise SelectorError(f"found '{token.text}', expected: ',' or 'end of string'")
            after = self._peek()
            if not after.is_word and after.text != "!":
                raise SelectorError(f"found '{after.text}', expected: identifier after ','")

    def _requirement(self) -> Term:
        token = self._next()
        absent = token.text == "!" and not token.is_word
        if absent:
            token = self._next()
        if not token.is_word:
            raise SelectorError(f"found '{token.text}', expected: identifier")
        key = token.text
        if wrong := names.qualified_name(key):
            raise SelectorError(f'<nil>: Invalid value: "{key}": {"; ".join(wrong)}')
        after = self._peek()
        if absent and (after is _END or after.text == ","):
            return Term(key, "!")
        if after is _END or after.text == ",":
            return Term(key, "exists")
        if absent:
            return Term(key, "!")
        return self._comparison(key)

    def _comparison(self, key: str) -> Term:
        token = self._next()
        operator = _OPERATORS.get(token.text)
        if operator is None:
            raise SelectorError(f"found '{token.text}', expected: {_EXPECTED_OPERATORS}")
        values = self._values() if operator in ("in", "notin") else {self._value()}
        return Term(key, operator, tuple(sorted(values)))

    def _value(self) -> str:
        token = self._peek()
        if token is _END or token.text == ",":
            return ""
        self._next()
        if not token.is_word:
            raise SelectorError(f"found '{token.text}', expected: identifier")
        return token.text

    def _values(self) -> set[str]:
        token = self._next()
        if token.text != "(":
            raise SelectorError(f"found '{token.text}' expected: '('")
        token = self._peek()
        if token.text == ")":
            self._next()
            return {""}
        if not token.is_word and token.text != ",":
            raise SelectorError(f"found '{token.text}', expected: ',', ')' or identifier")
        found: set[str] = set()
        while True:
            if self._peek().is_word:
                found.add(self._next().text)
            else:
                found.add("")
            token = self._next()
            if token.text == ")" and not token.is_word:
                return found
            if token.text != ",":
                raise SelectorError(f"found '{token.text}', expected: ',' or ')'")

    def _peek(self) -> _Token:
        return self._tokens[self._position]

    def _next(self) -> _Token:
        token = self._tokens[self._position]
        self._position = min(self._position + 1, len(self._tokens) - 1)
        return token


def _scan(text: str) -> list[_Token]:
    tokens = []
    for match in _TOKEN.finditer(text):
        symbol, word = match.group(1), match.group(2)
        if symbol or word:
            tokens.append(_Token(symbol or word, bool(word)))
    return [*tokens, _END]
