"""kubeconfig files: make one, write it safely, merge a cluster into somebody's own and take it out again.

Files are 0600 and belong to the person who asked, also under sudo. Merging replaces the entries of the same name and
keeps everything else, unknown fields included; the lock is kubectl's (`config.lock` beside the file). Merging makes the
cluster the current context and notes in that context which one was current before, so `remove` can go back to it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sampan.pki.certificate import Credential
from sampan.pki.files import SECRET_MODE, write_atomically

Document: TypeAlias = dict[str, Any]

EXTENSION = "sampan"
_SECTIONS = ("clusters", "users", "contexts")


class KubeconfigError(Exception):
    """The file cannot be used as a kubeconfig; the message says which and why. It was not touched."""


def document(cluster_name: str, server: str, ca_pem: bytes, credential: Credential) -> Document:
    """A kubeconfig with one cluster, user and context, all called `cluster_name`, certificates embedded."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster_name, "cluster": {"server": server, "certificate-authority-data": _data(ca_pem)}}
        ],
        "users": [{
            "name": cluster_name,
            "user": {
                "client-certificate-data": _data(credential.certificate_pem),
                "client-key-data": _data(credential.key_pem),
            },
        }],
        "contexts": [{"name": cluster_name, "context": {"cluster": cluster_name, "user": cluster_name}}],
        "current-context": cluster_name,
        "preferences": {},
    }


def write(path: Path, config: Document, environment: Mapping[str, str] = os.environ) -> None:
    """Write a kubeconfig, 0600, owned by whoever ran sudo. Missing parent directories are made theirs too."""
    import yaml  # only here and in `read`: servers, which load this module too, start without it

    owner = invoking_user(environment)
    _make_parents(path.parent, owner)
    text = yaml.safe_dump(config, sort_keys=False, default_flow_style=False)
    write_atomically(path, text.encode(), SECRET_MODE, owner)


def rewrite(path: Path, config: Document, environment: Mapping[str, str] = os.environ) -> None:
    """As `write`, but a file that is there already keeps its owner."""
    write(path, config, _keep_owner(path, environment))


def read(path: Path) -> Document:
    """A kubeconfig file; an empty one if it is missing. Raises KubeconfigError."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        found = None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path} is not valid YAML: {error}") from error
    config = {"apiVersion": "v1", "kind": "Config"} if found is None else found
    if not isinstance(config, dict) or any(not isinstance(config.get(key) or [], list) for key in _SECTIONS):
        raise KubeconfigError(f"{path} is not a kubeconfig: expected a mapping with lists of clusters, users, contexts")
    return config


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where kubectl would write: the first of $KUBECONFIG, else ~/.kube/config of the person who ran sudo."""
    named = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return Path(named[0])
    owner = invoking_user(environment)
    home = pwd.getpwuid(owner[0]).pw_dir if owner else environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    return Path(home) / ".kube" / "config"


def merge(path: Path, addition: Document, environment: Mapping[str, str] = os.environ) -> None:
    """Put `addition`'s entries into the file and make its context the current one."""
    with _locked(path, environment) as target:
        config = read(target)
        rewrite(target, merged(config, addition), environment)


def remove(path: Path, cluster_name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Take a cluster's entries out of the file again; whether there were any."""
    if not path.exists():
        return False
    with _locked(path, environment) as target:
        config = read(target)
        without = removed(config, cluster_name)
        if without == config:
            return False
        rewrite(target, without, environment)
    return True


def merged(config: Document, addition: Document) -> Document:
    """`config` with the entries of `addition` replacing those of the same name, its context current."""
    result = dict(config)
    for section in _SECTIONS:
        ours = {entry["name"]: entry for entry in addition.get(section) or []}
        others = [entry for entry in config.get(section) or [] if entry.get("name") not in ours]
        result[section] = [*others, *ours.values()]
    current, name = config.get("current-context", ""), addition["current-context"]
    previous = _previous_context(config, name) if current == name else current
    if previous:
        note = {"name": EXTENSION, "extension": {"previous-context": previous}}
        result["contexts"] = [
            {**entry, "context": {**entry["context"], "extensions": [note]}} if entry.get("name") == name else entry
            for entry in result["contexts"]
        ]
    return {**result, "current-context": name}


def removed(config: Document, cluster_name: str) -> Document:
    """`config` without the cluster, user and context of that name; the context before it is current again."""
    result = dict(config)
    for section in _SECTIONS:
        if section in config:
            result[section] = [e for e in config[section] or [] if e.get("name") != cluster_name]
    if config.get("current-context") == cluster_name:
        previous = _previous_context(config, cluster_name)
        remaining = {entry.get("name") for entry in result.get("contexts") or []}
        result["current-context"] = previous if previous in remaining else ""
    return result


def invoking_user(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """(uid, gid) of the person who ran sudo; None when this is nobody else's behalf."""
    if os.geteuid() != 0 or not environment.get("SUDO_UID", "").isdigit():
        return None
    return int(environment["SUDO_UID"]), int(environment.get("SUDO_GID") or environment["SUDO_UID"])


def _previous_context(config: Document, name: str) -> str:
    for entry in config.get("contexts") or []:
        if entry.get("name") == name:
            for extension in (entry.get("context") or {}).get("extensions") or []:
                if extension.get("name") == EXTENSION:
                    return str((extension.get("extension") or {}).get("previous-context", ""))
    return ""


def _keep_owner(path: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """An existing file keeps its owner, whoever runs this."""
    if not path.exists():
        return environment
    status = path.stat()
    return {"SUDO_UID": str(status.st_uid), "SUDO_GID": str(status.st_gid)}


@contextlib.contextmanager
def _locked(path: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Hold kubectl's lock on the file that `path` leads to (through symbolic links)."""
    target = path.resolve()
    _make_parents(target.parent, invoking_user(environment))
    lock = target.with_name(target.name + ".lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise KubeconfigError(f"{target} is locked; if no kubectl is writing it, remove {lock}") from None
    try:
        yield target
    finally:
        lock.unlink(missing_ok=True)


def _make_parents(directory: Path, owner: tuple[int, int] | None) -> None:
    missing = [part for part in (directory, *directory.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(mode=0o750)
        if owner is not None:
            os.chown(part, *owner)


def _data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
