"""ServiceAccount token Secrets: fills those that people make to get a token that does not expire.

Observed: Secrets of the type kubernetes.io/service-account-token, and the accounts that they name in an annotation.
Desired: each has `token`, `ca.crt` and `namespace`. What is missing is written. When the account is gone, or is another
one of the name, the Secret is deleted; an account that lists such a Secret that is gone loses the entry.
"""

from __future__ import annotations

import base64
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.api.resources import SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery import errors
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    is_being_deleted,
    key_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.pki.service_account import SigningKey
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Delete, Plan, Update

TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"


class Issuer:
    """Signs tokens with the key in a file, which is read again each time, and knows the CA to trust."""

    def __init__(self, key: Path, root_ca: bytes) -> None:
        self._key, self.root_ca = key, root_ca

    def token(self, secret: Object, account: Object) -> str:
        """A token that holds as long as the Secret contains it."""
        pem = self._key.read_bytes()
        private = serialization.load_pem_private_key(pem, None)
        algorithm = "ES256" if isinstance(private, ec.EllipticCurvePrivateKey) else "RS256"
        namespace, name, claim = namespace_of(secret), name_of(account), "kubernetes.io/serviceaccount/"
        claims = {
            "iss": ISSUER, f"{claim}namespace": namespace, f"{claim}secret.name": name_of(secret),
            f"{claim}service-account.name": name, f"{claim}service-account.uid": uid_of(account),
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return jwt.encode(claims, pem.decode(), algorithm, {"kid": SigningKey.from_pem(pem).key_id})


def plan(secret: Object, account: Object | None, issuer: Issuer) -> Plan:
    """Fill the Secret, or delete it when its account is gone."""
    if is_being_deleted(secret):
        return NOTHING
    uid = annotations_of(secret).get(UID)
    if account is None or (uid and uid != uid_of(account)):
        version = str(meta(secret).get("resourceVersion", ""))
        deletion = Delete(SECRETS, name_of(secret), namespace_of(secret), uid=uid_of(secret), resource_version=version)
        return Plan((deletion,))
    data: dict[str, str] = dict(secret.get("data") or {})
    if issuer.root_ca:
        data["ca.crt"] = base64.b64encode(issuer.root_ca).decode()
    if not data.get("namespace"):
        data["namespace"] = base64.b64encode(namespace_of(secret).encode()).decode()
    if not data.get("token"):
        data["token"] = base64.b64encode(issuer.token(secret, account).encode()).decode()
    if data == secret.get("data"):
        return NOTHING
    metadata = {**meta(secret), "annotations": {**annotations_of(secret), UID: uid_of(account)}}
    return Plan((Update(SECRETS, {**secret, "metadata": metadata, "data": data}),))


def forget(account: Object, secret: str) -> Plan:
    """Take a Secret that is gone out of the account's list."""
    kept = [one for one in account.get("secrets") or () if one.get("name") != secret]
    changed = {key: value for key, value in account.items() if key != "secrets"} | ({"secrets": kept} if kept else {})
    return Plan((Update(SERVICE_ACCOUNTS, changed),))


class ServiceAccountTokens:
    """Keys are token Secrets; an account concerns those that name it."""

    def __init__(self, wiring: Wiring, issuer: Issuer) -> None:
        self._client, self._issuer = wiring.client, issuer
        informer = wiring.factory.informer(SECRETS, field_selector=f"type={TYPE}")
        wiring.follow(informer, lambda secret: [key_of(secret)])
        self._secrets = informer.lister
        self._secrets.add_index("account", lambda one: (f"{namespace_of(one)}/{annotations_of(one).get(NAME, '')}",))
        self._accounts = wiring.watch(
            SERVICE_ACCOUNTS, lambda account: sorted(map(key_of, self._secrets.by_index("account", key_of(account))))
        )

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        secret = self._secrets.get(name, namespace)
        if secret is None:
            return await self._gone(namespace, name)
        if not annotations_of(secret).get(NAME):
            return NOTHING
        return plan(secret, await self._account(secret), self._issuer)

    async def _gone(self, namespace: str, name: str) -> Plan:
        for account in self._accounts.list(namespace):
            if any(one.get("name") == name for one in account.get("secrets") or ()):
                try:
                    await self._client.get(SECRETS, name, namespace)
                except errors.NotFound:
                    return forget(account, name)
        return NOTHING

    async def _account(self, secret: Object) -> Object | None:
        """That an account is gone, or another one now, is asked of the server: a Secret is lost with it."""
        namespace, name, uid = namespace_of(secret), annotations_of(secret)[NAME], annotations_of(secret).get(UID)
        found = self._accounts.get(name, namespace)
        if found is not None and uid in (None, "", uid_of(found)):
            return found
        try:
            return await self._client.get(SERVICE_ACCOUNTS, name, namespace)
        except errors.NotFound:
            return None
