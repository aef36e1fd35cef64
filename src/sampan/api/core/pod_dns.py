"""Rules of a pod's name resolution: dnsPolicy, dnsConfig, hostAliases."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_subdomain, dns1123_subdomain_with_underscore, ip_address
from sampan.apimachinery.object import Object

_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_MOST_SERVERS, _MOST_SEARCHES, _MOST_SEARCH_CHARACTERS = 3, 32, 2048


def validate_dns(spec: Object, path: Path) -> list[FieldError]:
    policy, config = spec.get("dnsPolicy") or "", spec.get("dnsConfig")
    errors: list[FieldError] = []
    if not policy:
        errors.append(required(path.child("dnsPolicy")))
    elif policy not in _POLICIES:
        errors.append(not_supported(path.child("dnsPolicy"), policy, _POLICIES))
    where = path.child("dnsConfig")
    if policy == "None":
        if config is None:
            return [*errors, required(where, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            errors.append(required(where.child("nameservers"), "must provide at least one DNS nameserver when "
                                                               "`dnsPolicy` is None"))
    return errors + (_config(config, where) if config else [])


def _config(config: Object, path: Path) -> list[FieldError]:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    errors: list[FieldError] = []
    if len(servers) > _MOST_SERVERS:
        errors.append(invalid(path.child("nameservers"), servers, f"must not have more than {_MOST_SERVERS} "
                                                                  "nameservers"))
    for position, server in enumerate(servers):
        errors += [invalid(path.child("nameservers").index(position), server, why) for why in ip_address(server)]
    if len(searches) > _MOST_SEARCHES:
        errors.append(invalid(path.child("searches"), searches, f"must not have more than {_MOST_SEARCHES} search "
                                                                "paths"))
    if len(" ".join(searches)) > _MOST_SEARCH_CHARACTERS:
        errors.append(invalid(path.child("searches"), searches, f"must not have more than {_MOST_SEARCH_CHARACTERS} "
                                                                "characters (including spaces) in the search list"))
    for position, search in enumerate(searches):
        if search != ".":
            errors += [invalid(path.child("searches").index(position), search, why)
                       for why in dns1123_subdomain_with_underscore(search.removesuffix("."))]
    errors += [required(path.child("options").index(position), "must not be empty")
               for position, option in enumerate(config.get("options") or []) if not option.get("name")]
    return errors


def validate_host_aliases(aliases: list[Object] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, alias in enumerate(aliases or []):
        where, address = path.index(position), alias.get("ip") or ""
        if not address:
            errors.append(required(where.child("ip")))
        else:
            errors += [invalid(where.child("ip"), address, why) for why in ip_address(address)]
        for name in alias.get("hostnames") or []:
            errors += [invalid(where.child("hostnames"), name, why) for why in dns1123_subdomain(name)]
    return errors
