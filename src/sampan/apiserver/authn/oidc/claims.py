"""From the claims of a verified token to a user: rules, mappings, rules about the result."""

from __future__ import annotations

from typing import Any

from sampan.apimachinery.cel.environment import Environment, Program
from sampan.apimachinery.cel.errors import EvaluationError
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.authn.certificate_authority import CREDENTIAL_ID
from sampan.apiserver.authn.oidc.configuration import (
    JWTIssuer,
    Mapping,
    Rule,
    claims_environment,
    user_environment,
)


class Refused(Exception):
    """The token is genuine, but does not make a user; `str` says why."""


def user_of(issuer: JWTIssuer, claims: Object) -> UserInfo:
    """Raises Refused."""
    activation = _Activation(claims_environment(), {"claims": claims})
    for rule in issuer.claim_rules:
        _check_claim(rule, claims, activation)
    extra = {}
    for key, expression in issuer.extra:
        values = _strings(activation.value(expression), f"extra {key}")
        if values:
            extra[key] = values
    if isinstance(claims.get("jti"), str) and claims["jti"]:
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    user = UserInfo(
        _username(issuer.username, claims, activation), _text(issuer.uid, claims, activation, "uid"),
        _groups(issuer.groups, claims, activation), extra,
    )
    _check_user(issuer, user)
    return user


class _Activation:
    """Claims made ready for expressions when the first one is evaluated."""

    def __init__(self, within: Environment, data: Object) -> None:
        self._within, self._data = within, data
        self._made: Any = None

    def value(self, program: Program) -> Any:
        if self._made is None:
            self._made = self._within.activation(self._data)
        try:
            return program.evaluate(self._made)
        except EvaluationError as error:
            raise Refused(f"{program.text}: {error}") from None


def _check_claim(rule: Rule, claims: Object, activation: _Activation) -> None:
    if rule.expression is not None:
        if activation.value(rule.expression) is not True:
            raise Refused(rule.message or f"validation expression '{rule.expression.text}' failed")
    elif claims.get(rule.claim) != rule.value:
        raise Refused(f"required claim {rule.claim} has not the required value")


def _check_user(issuer: JWTIssuer, user: UserInfo) -> None:
    if not issuer.user_rules:
        return
    shown: Object = {
        "username": user.name, "uid": user.uid, "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    activation = _Activation(user_environment(), {"user": shown})
    for rule in issuer.user_rules:
        assert rule.expression is not None
        if activation.value(rule.expression) is not True:
            raise Refused(rule.message or f"validation expression '{rule.expression.text}' failed")


def _username(mapping: Mapping, claims: Object, activation: _Activation) -> str:
    if mapping.claim == "email" and claims.get("email_verified", True) is not True:
        raise Refused("email not verified")
    name = _text(mapping, claims, activation, "username")
    if not name:
        raise Refused("username claim is empty")
    return mapping.prefix + name


def _text(mapping: Mapping, claims: Object, activation: _Activation, what: str) -> str:
    if not mapping:
        return ""
    found = activation.value(mapping.expression) if mapping.expression is not None else claims.get(mapping.claim)
    if not isinstance(found, str):
        raise Refused(f"{what} is not a string" if found is not None else f"claim for {what} is not present")
    return found


def _groups(mapping: Mapping, claims: Object, activation: _Activation) -> tuple[str, ...]:
    if mapping.expression is not None:
        return _strings(activation.value(mapping.expression), "groups")
    found = claims.get(mapping.claim) if mapping.claim else None
    return tuple(mapping.prefix + group for group in _strings(found, "groups"))


def _strings(value: Any, what: str) -> tuple[str, ...]:
    """A string, a list of strings or nothing; empty ones are dropped."""
    if value is None or value == "":
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise Refused(f"{what} must be a string or a list of strings")
    return tuple(one for one in values if one)
