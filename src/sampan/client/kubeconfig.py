"""Where an API server is and how to prove who one is: read from a kubeconfig file, or from a pod's own files.

`Credentials` names the server and the material; it reads no file until a connection needs it. Files are looked at again
when their modification time changes, so certificates and tokens may rotate under a running program.
"""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(ValueError):
    """The kubeconfig cannot be used; the message names the file and what is missing."""


@dataclass(frozen=True, slots=True)
class Material:
    """A piece of PEM or a token: given as bytes, or as a file that may change."""

    data: bytes = b""
    path: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.data) or self.path is not None

    def read(self) -> bytes:
        return self.data or (self.path.read_bytes() if self.path else b"")

    def version(self) -> tuple[int, int]:
        """Changes when the file does."""
        if self.path is None or self.data:
            return (0, 0)
        stat = self.path.stat()
        return (stat.st_mtime_ns, stat.st_ino)


@dataclass(slots=True)
class Credentials:
    """One server and one user. `namespace` is the context's default namespace."""

    server: str
    authority: Material = field(default_factory=Material)
    certificate: Material = field(default_factory=Material)
    key: Material = field(default_factory=Material)
    bearer: Material = field(default_factory=Material)
    insecure: bool = False
    server_name: str = ""
    namespace: str = "default"
    headers: dict[str, str] = field(default_factory=dict)
    _context: ssl.SSLContext | None = None
    _context_version: object = None
    _token: str = ""
    _token_version: object = None

    def ssl_context(self) -> ssl.SSLContext:
        """The TLS settings now; a new context whenever a certificate file has changed."""
        version = (self.authority.version(), self.certificate.version(), self.key.version())
        if self._context is None or version != self._context_version:
            try:
                self._context, self._context_version = self._make_context(), version
            except ssl.SSLError:  # the key was replaced and the certificate not yet: one moment later both are
                if self._context is None:
                    raise
        return self._context

    def token(self) -> str:
        """The bearer token now, empty if this user has none."""
        if not self.bearer:
            return ""
        version = self.bearer.version()
        if not self._token or version != self._token_version:
            self._token, self._token_version = self.bearer.read().decode().strip(), version
        return self._token

    def _make_context(self) -> ssl.SSLContext:
        authority = self.authority.read().decode()
        context = ssl.create_default_context(cadata=authority or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            load_chain(context, self.certificate.read(), self.key.read())
        return context


def load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give `context` a certificate and key from memory: the ssl module reads only files, so from an anonymous one."""
    descriptor = os.memfd_create("client-certificate")
    try:
        os.write(descriptor, certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def load(path: str | os.PathLike[str], context: str = "") -> Credentials:
    """The credentials of a context (default: current-context). Raises KubeconfigError."""
    import yaml

    file = Path(path)
    try:
        document = yaml.safe_load(file.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{file}: {error}") from error
    return from_document(document, file.parent, context, str(file))


def from_document(
    document: dict[str, Any], directory: Path, context: str = "", source: str = "kubeconfig"
) -> Credentials:
    """As `load`, from a parsed kubeconfig; file names in it are relative to `directory`."""
    chosen = context or document.get("current-context") or ""
    if not chosen:
        raise KubeconfigError(f"{source}: no context given and no current-context set")
    settings = _named(document, "contexts", chosen, source)["context"]
    cluster = _named(document, "clusters", settings.get("cluster", ""), source)["cluster"]
    user = _named(document, "users", settings["user"], source).get("user") or {} if settings.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(f"{source}: user {settings['user']!r}: credential plugins are not supported")
    token = Material(data=user["token"].encode()) if user.get("token") else Material()
    if user.get("tokenFile"):
        token = Material(path=directory / user["tokenFile"])
    headers = {"impersonate-user": user["as"]} if user.get("as") else {}
    return Credentials(
        server=cluster["server"].rstrip("/"),
        authority=_material(cluster, "certificate-authority", directory),
        certificate=_material(user, "client-certificate", directory),
        key=_material(user, "client-key", directory),
        bearer=token,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name") or "",
        namespace=settings.get("namespace") or "default",
        headers=headers,
    )


def in_cluster() -> Credentials:
    """The credentials that the kubelet puts into every pod. Raises KubeconfigError outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise KubeconfigError("not in a pod: KUBERNETES_SERVICE_HOST is not set")
    namespace = SERVICE_ACCOUNT_DIR / "namespace"
    return Credentials(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        authority=Material(path=SERVICE_ACCOUNT_DIR / "ca.crt"),
        bearer=Material(path=SERVICE_ACCOUNT_DIR / "token"),
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def _named(document: dict[str, Any], section: str, name: str, source: str) -> dict[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return entry  # type: ignore[no-any-return]
    raise KubeconfigError(f"{source}: {section} has no entry named {name!r}")


def _material(entry: dict[str, Any], name: str, directory: Path) -> Material:
    if entry.get(f"{name}-data"):
        return Material(data=base64.b64decode(entry[f"{name}-data"]))
    return Material(path=directory / entry[name]) if entry.get(name) else Material()
