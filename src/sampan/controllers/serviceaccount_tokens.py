"""ServiceAccount token Secrets: fills those that people make to get a token that does not expire.

Observed: Secrets of the type kubernetes.io/service-account-token, and the accounts that they name in an annotation.
Desired: each has `token`, `ca.crt` and `namespace`. What is missing is written. When the account is gone, or is another
one of the name, the Secret is deleted.
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
    wanted = {"namespace": namespace_of(secret).encode(), **({"ca.crt": issuer.root_ca} if issuer.root_ca else {})}
    for field, value in wanted.items():
        data[field] = base64.b64encode(value).decode()
    if not data.get("token"):
        data["token"] = base64.b64encode(issuer.token(secret, account).encode()).decode()
    if data == secret.get("data") and uid:
        return NOTHING
    metadata = {**meta(secret), "annotations": {**annotations_of(secret), UID: uid_of(account)}}
    return Plan((Update(SECRETS, {**secret, "metadata": metadata, "data": data}),))


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
        if secret is None or not annotations_of(secret).get(NAME):
            return NOTHING
        return plan(secret, await self._account(namespace, annotations_of(secret)[NAME]), self._issuer)

    async def _account(self, namespace: str, name: str) -> Object | None:
        """That an account is gone is asked of the server: a Secret is lost with it."""
        found = self._accounts.get(name, namespace)
        if found is not None:
            return found
        try:
            return await self._client.get(SERVICE_ACCOUNTS, name, namespace)
        except errors.NotFound:
            return None
