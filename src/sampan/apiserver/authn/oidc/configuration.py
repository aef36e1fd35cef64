"""AuthenticationConfiguration (apiserver.config.k8s.io/v1): whose JWTs count, and what their claims mean.

    jwt:
    - issuer: {url, discoveryURL, certificateAuthority, audiences, audienceMatchPolicy}
      claimValidationRules: [{claim, requiredValue} or {expression, message}]
      claimMappings: {username: {claim, prefix} or {expression}, groups: …, uid: …, extra: [{key, valueExpression}]}
      userValidationRules: [{expression, message}]
    anonymous: {enabled, conditions: [{path}]}

Expressions are CEL over `claims` (rules and mappings) or `user` (user validation); they are compiled here, so that a
wrong one is found when the file is read. Everything wrong is a ValueError with the field's path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sampan.apimachinery.cel.environment import OBJECT, Environment, Program, environment
from sampan.apimachinery.cel.errors import CompileError
from sampan.apimachinery.object import Object
from sampan.apiserver import configuration_file

VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where a value comes from: a claim, to which `prefix` is put, or an expression."""

    claim: str = ""
    prefix: str = ""
    expression: Program | None = None

    def __bool__(self) -> bool:
        return bool(self.claim) or self.expression is not None


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold: a claim has a value, or an expression is true."""

    claim: str = ""
    value: str = ""
    expression: Program | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class JWTIssuer:
    """One entry of `jwt`."""

    url: str
    discovery_url: str
    authority: str
    audiences: tuple[str, ...]
    username: Mapping
    groups: Mapping
    uid: Mapping
    extra: tuple[tuple[str, Program], ...]
    claim_rules: tuple[Rule, ...]
    user_rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AuthenticationConfiguration:
    """The whole document. `anonymous` None means: as the server's own setting says."""

    issuers: tuple[JWTIssuer, ...] = ()
    anonymous: bool | None = None
    anonymous_paths: tuple[str, ...] = ()


def claims_environment() -> Environment:
    return environment(("claims", OBJECT))


def user_environment() -> Environment:
    return environment(("user", OBJECT))


def parse(content: bytes) -> AuthenticationConfiguration:
    """A configuration from its file. Raises ValueError."""
    document = configuration_file.parse(content, "AuthenticationConfiguration", VERSIONS)
    issuers = tuple(_issuer(one, f"jwt[{at}]") for at, one in enumerate(document.get("jwt") or ()))
    for attribute in ("url", "discovery_url"):
        values = [value for one in issuers if (value := getattr(one, attribute))]
        if len(set(values)) != len(values):
            raise ValueError(f"jwt: Duplicate value: two issuers have the same {attribute}")
    anonymous = document.get("anonymous")
    if anonymous is None:
        return AuthenticationConfiguration(issuers)
    paths = tuple(condition.get("path", "") for condition in anonymous.get("conditions") or ())
    if paths and not anonymous.get("enabled"):
        raise ValueError("anonymous.conditions: Invalid value: enabled should be true when conditions are defined")
    return AuthenticationConfiguration(issuers, bool(anonymous.get("enabled")), paths)


def _issuer(document: Object, path: str) -> JWTIssuer:
    issuer, at = document.get("issuer") or {}, f"{path}.issuer"
    url, discovery = str(issuer.get("url") or ""), str(issuer.get("discoveryURL") or "")
    _check_url(url, f"{at}.url", required=True)
    _check_url(discovery, f"{at}.discoveryURL", required=False)
    if discovery and discovery == url:
        raise ValueError(f"{at}.discoveryURL: Invalid value: {discovery!r}: discoveryURL must be different from URL")
    audiences = tuple(issuer.get("audiences") or ())
    if not audiences or not all(audiences):
        raise ValueError(f"{at}.audiences: Required value: at least one {at}.audiences is required")
    policy = issuer.get("audienceMatchPolicy") or ""
    if policy not in ("", "MatchAny") or (len(audiences) > 1 and not policy):
        raise ValueError(f"{at}.audienceMatchPolicy: Invalid value: {policy!r}: must be MatchAny for several audiences")
    mappings, at = document.get("claimMappings") or {}, f"{path}.claimMappings"
    username = _mapping(mappings.get("username") or {}, f"{at}.username", prefixed=True)
    if not username:
        raise ValueError(f"{at}.username: Required value: claim or expression is required")
    return JWTIssuer(
        url, discovery, str(issuer.get("certificateAuthority") or ""), audiences, username,
        _mapping(mappings.get("groups") or {}, f"{at}.groups", prefixed=True),
        _mapping(mappings.get("uid") or {}, f"{at}.uid", prefixed=False),
        tuple(_extra(one, f"{at}.extra[{i}]") for i, one in enumerate(mappings.get("extra") or ())),
        tuple(
            _claim_rule(one, f"{path}.claimValidationRules[{i}]")
            for i, one in enumerate(document.get("claimValidationRules") or ())
        ),
        tuple(
            Rule(expression=_compiled(user_environment(), one, f"{path}.userValidationRules[{i}]", "bool"),
                 message=str(one.get("message") or ""))
            for i, one in enumerate(document.get("userValidationRules") or ())
        ),
    )


def _check_url(url: str, path: str, *, required: bool) -> None:
    if not url:
        if required:
            raise ValueError(f"{path}: Required value: URL is required")
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise ValueError(f"{path}: Invalid value: {url!r}: URL scheme must be https")
    if parts.username or parts.query or parts.fragment:
        raise ValueError(f"{path}: Invalid value: {url!r}: URL must not contain a username, query or fragment")


def _mapping(document: Object, path: str, *, prefixed: bool) -> Mapping:
    claim, expression, prefix = document.get("claim") or "", document.get("expression") or "", document.get("prefix")
    if claim and expression:
        raise ValueError(f"{path}: Invalid value: claim and expression can't both be set")
    if prefixed and claim and prefix is None:
        raise ValueError(f"{path}.prefix: Required value: prefix is required when claim is set. It can be set to an "
                         "empty string to disable prefixing")
    if expression:
        if prefix is not None:
            raise ValueError(f"{path}.prefix: Invalid value: {prefix!r}: prefix can't be set when expression is set")
        return Mapping(expression=_compiled(claims_environment(), document, path))
    return Mapping(str(claim), str(prefix or ""))


def _extra(document: Object, path: str) -> tuple[str, Program]:
    key = str(document.get("key") or "")
    if "/" not in key or key != key.lower() or "." not in key.partition("/")[0]:
        raise ValueError(f"{path}.key: Invalid value: {key!r}: must be a lower-case domain-prefixed path")
    named = {"expression": document.get("valueExpression")}
    return key, _compiled(claims_environment(), named, path)


def _claim_rule(document: Object, path: str) -> Rule:
    claim, expression = document.get("claim") or "", document.get("expression") or ""
    if bool(claim) is bool(expression):
        raise ValueError(f"{path}: Required value: exactly one of claim or expression is required")
    if claim:
        return Rule(str(claim), str(document.get("requiredValue") or ""))
    program = _compiled(claims_environment(), document, path, "bool")
    return Rule(expression=program, message=str(document.get("message") or ""))


def _compiled(within: Environment, document: Any, path: str, *returns: str) -> Program:
    text = document.get("expression") or ""
    if not text:
        raise ValueError(f"{path}.expression: Required value: expression is required")
    try:
        return within.compile(text, *returns)
    except CompileError as error:
        raise ValueError(f"{path}.expression: Invalid value: {text!r}: {error}") from None
