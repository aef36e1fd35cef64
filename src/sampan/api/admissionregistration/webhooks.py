"""Defaults and rules that validating and mutating webhook configurations share."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from sampan.api.admissionregistration.match_conditions import validate_conditions
from sampan.api.columns import AGE, NAME, length
from sampan.api.kind import Column
from sampan.api.selector_rules import validate_label_selector
from sampan.api.strategy import setdefault
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, not_supported, required
from sampan.apimachinery.names import fully_qualified_domain_name
from sampan.apimachinery.object import Object

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REINVOCATION = ("IfNeeded", "Never")
_FORMAT = "desired format: https://host[/path]"
_REVIEW_VERSIONS = ("v1", "v1beta1")


def default(obj: Object) -> None:
    for webhook in obj.get("webhooks") or []:
        _default_webhook(webhook)


def default_mutating(obj: Object) -> None:
    default(obj)
    for webhook in obj.get("webhooks") or []:
        setdefault(webhook, "reinvocationPolicy", "Never")


def _default_webhook(webhook: Object) -> None:
    setdefault(webhook, "failurePolicy", "Fail")
    setdefault(webhook, "matchPolicy", "Equivalent")
    setdefault(webhook, "namespaceSelector", {})
    setdefault(webhook, "objectSelector", {})
    setdefault(webhook, "timeoutSeconds", 10)
    for rule in webhook.get("rules") or []:
        setdefault(rule, "scope", "*")
    service = (webhook.get("clientConfig") or {}).get("service")
    if isinstance(service, dict):
        setdefault(service, "port", 443)


def validate_webhooks(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, webhook in enumerate(obj.get("webhooks") or []):
        path = Path("webhooks").index(position)
        name = webhook.get("name") or ""
        errors += _name(name, path)
        if name in seen:
            errors.append(duplicate(path.child("name"), name))
        seen.add(name)
        errors += _webhook(webhook, path)
    return errors


def _name(name: str, path: Path) -> list[FieldError]:
    if not name:
        return [required(path.child("name"))]
    errors = [invalid(path.child("name"), name, why) for why in fully_qualified_domain_name(name)]
    if not errors and len(name.split(".")) < 3:
        errors.append(invalid(path.child("name"), name,
                              "should be a domain with at least three segments separated by dots"))
    return errors


def _webhook(webhook: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        errors.append(required(path.child("admissionReviewVersions"),
                               f"must specify one of {', '.join(_REVIEW_VERSIONS)}"))
    elif not any(version in _REVIEW_VERSIONS for version in versions):
        errors.append(invalid(path.child("admissionReviewVersions"), versions,
                              f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"))
    for position, rule in enumerate(webhook.get("rules") or []):
        errors += validate_rule(rule, path.child("rules").index(position))
    for key, supported in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
        if webhook.get(key) not in (None, *supported):
            errors.append(not_supported(path.child(key), webhook[key], supported))
    effects = webhook.get("sideEffects")
    if effects is None:
        errors.append(required(path.child("sideEffects"), f"must specify one of {', '.join(_SIDE_EFFECTS)}"))
    elif effects not in _SIDE_EFFECTS:
        errors.append(not_supported(path.child("sideEffects"), effects, _SIDE_EFFECTS))
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        errors.append(invalid(path.child("timeoutSeconds"), timeout,
                              "the timeout value must be between 1 and 30 seconds"))
    for key in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(webhook.get(key), path.child(key))
    if webhook.get("reinvocationPolicy") not in (None, *_REINVOCATION):
        errors.append(not_supported(path.child("reinvocationPolicy"), webhook["reinvocationPolicy"], _REINVOCATION))
    errors += validate_conditions(webhook, path)
    return errors + _client(webhook.get("clientConfig") or {}, path.child("clientConfig"))


def _client(config: Object, path: Path) -> list[FieldError]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if url is not None:
        return [invalid(path.child("url"), url, why) for why in _url_problems(url)]
    assert service is not None
    errors = [required(path.child("service", key)) for key in ("name", "namespace") if not service.get(key)]
    port = service.get("port")
    if port is not None and not 1 <= port <= 65535:
        errors.append(invalid(path.child("service", "port"), port,
                              "port is not valid: must be between 1 and 65535, inclusive"))
    return errors


def _url_problems(url: str) -> Iterator[str]:
    """Only a host and a path: whoever configures a webhook has no use for more, and an attacker might."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield f"url must be a valid URL: {error}; {_FORMAT}"
        return
    if parts.scheme != "https":
        yield f"'https' is the only allowed URL scheme; {_FORMAT}"
    if not host:
        yield f"host must be specified; {_FORMAT}"
    if parts.username is not None:
        yield "user information is not permitted in the URL"
    if parts.fragment:
        yield "fragments are not permitted in the URL"
    if parts.query:
        yield "query parameters are not permitted in the URL"


def validate_rule(rule: Object, path: Path) -> list[FieldError]:
    """Operations, groups, versions and resources must all be given; `*` stands alone."""
    errors: list[FieldError] = []
    for key in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(key) or []
        if not values:
            errors.append(required(path.child(key)))
        elif key != "resources" and len(values) > 1 and "*" in values:
            errors.append(invalid(path.child(key), values, "if '*' is present, must not specify other "
                                  + {"apiGroups": "API groups", "apiVersions": "API versions"}.get(key, key)))
        if key == "operations":
            errors += [not_supported(path.child(key).index(position), value, _OPERATIONS)
                       for position, value in enumerate(values) if value not in _OPERATIONS]
    if rule.get("scope") not in (None, *_SCOPES):
        errors.append(not_supported(path.child("scope"), rule["scope"], _SCOPES))
    return errors


COLUMNS = (
    NAME,
    Column("Webhooks", "integer", length("webhooks"),
           "Webhooks indicates the number of webhooks registered in this configuration"),
    AGE,
)
