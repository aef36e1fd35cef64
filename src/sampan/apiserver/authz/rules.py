"""RBAC policy rules: does a rule allow a request, and does one set of rules cover another?

A `Rule` is a `PolicyRule` with its lists as sets, so that a match is a few set look-ups. `covers` is what the
escalation check needs: a servant's rules are broken into atoms of one verb, group, resource and name each, and every
atom must be within one of the owner's rules. Source: the RBAC documentation and the behaviour of upstream's rule
evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object
from sampan.apiserver.authz.refusal import full_resource
from sampan.apiserver.seams import Attributes

_ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled PolicyRule: for resources (groups, resources, names) or for paths (urls)."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()

    @classmethod
    def parse(cls, document: Object) -> Rule:
        """From a PolicyRule as stored."""
        return cls(
            verbs=frozenset(document.get("verbs") or ()),
            groups=frozenset(document.get("apiGroups") or ()),
            resources=frozenset(document.get("resources") or ()),
            names=frozenset(document.get("resourceNames") or ()),
            urls=tuple(document.get("nonResourceURLs") or ()),
        )

    def allows(self, request: Attributes) -> bool:
        if _ALL not in self.verbs and request.verb not in self.verbs:
            return False
        if not request.is_resource:
            return any(url_matches(url, request.path) for url in self.urls)
        return (
            (_ALL in self.groups or request.group in self.groups)
            and resource_matches(self.resources, full_resource(request), request.subresource)
            and (not self.names or request.name in self.names)
        )


def resource_matches(resources: frozenset[str], full: str, subresource: str) -> bool:
    """`full` is the resource with its subresource; `*/scale` in a rule means that subresource of anything."""
    if _ALL in resources or full in resources:
        return True
    return bool(subresource) and f"*/{subresource}" in resources


def url_matches(rule_url: str, path: str) -> bool:
    """A trailing `*` in the rule matches any rest."""
    if rule_url in (_ALL, path):
        return True
    return rule_url.endswith(_ALL) and path.startswith(rule_url.rstrip(_ALL))


def atoms(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Each rule as rules with one verb, and one group, resource and name, or one URL."""
    for rule in rules:
        for verb in sorted(rule.verbs):
            one = frozenset((verb,))
            for group in sorted(rule.groups):
                for resource in sorted(rule.resources):
                    for name in sorted(rule.names) or ("",):
                        yield Rule(
                            one, frozenset((group,)), frozenset((resource,)), frozenset((name,) if name else ())
                        )
            for url in rule.urls:
                yield Rule(one, urls=(url,))


def uncovered(owner: Sequence[Rule], servant: Iterable[Rule]) -> list[Rule]:
    """The atoms of the servant's rules that no single rule of the owner covers."""
    return [atom for atom in atoms(servant) if not any(_covers(rule, atom) for rule in owner)]


def _covers(owner: Rule, atom: Rule) -> bool:
    if not (_ALL in owner.verbs or atom.verbs <= owner.verbs):
        return False
    if atom.urls:
        return all(any(url_matches(have, want) for have in owner.urls) for want in atom.urls)
    (resource,) = atom.resources
    _, slash, subresource = resource.partition("/")
    covered = _ALL in owner.resources or resource in owner.resources
    covered = covered or (bool(slash) and f"*/{subresource}" in owner.resources)
    named = not owner.names or (bool(atom.names) and atom.names <= owner.names)
    return covered and named and (_ALL in owner.groups or atom.groups <= owner.groups)


def described(rules: Iterable[Rule]) -> str:
    """Atoms merged by what they are about and printed as upstream prints them, a line each."""
    verbs: dict[tuple[object, ...], set[str]] = {}
    shown: dict[tuple[object, ...], Rule] = {}
    for rule in rules:
        key = (rule.groups, rule.resources, rule.names, rule.urls)
        verbs.setdefault(key, set()).update(rule.verbs)
        shown[key] = rule
    return "\n".join(sorted(_line(rule, verbs[key]) for key, rule in shown.items()))


def _line(rule: Rule, verbs: set[str]) -> str:
    parts = []
    for title, values in (
        ("APIGroups", sorted(rule.groups)), ("Resources", sorted(rule.resources)),
        ("ResourceNames", sorted(rule.names)), ("NonResourceURLs", list(rule.urls)), ("Verbs", sorted(verbs)),
    ):
        if values:
            parts.append(f"{title}:[{' '.join(quoted(value) for value in values)}]")
    return "{" + ", ".join(parts) + "}"
