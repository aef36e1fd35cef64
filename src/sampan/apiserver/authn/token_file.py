"""Static bearer tokens from a CSV file: token, user, uid and optionally a quoted list of groups."""

from __future__ import annotations

import csv
import hashlib
import io

from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts


class TokenFile:
    """Tokens are compared by their digest, so that the time it takes tells nothing about them."""

    knows_audiences = False

    def __init__(self, path: str) -> None:
        self._users = WatchedFile(path, parse)

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        return self._users.get().get(_digest(token))


def parse(content: bytes) -> dict[bytes, UserInfo]:
    """Users by the digest of their token. Raises ValueError for a line with too few columns or an empty token."""
    users: dict[bytes, UserInfo] = {}
    for number, row in enumerate(csv.reader(io.StringIO(content.decode())), start=1):
        if not row:
            continue
        columns = [column.strip() for column in row]
        if len(columns) < 3 or not columns[0]:
            raise ValueError(f"line {number}: expected token,user,uid[,groups]")
        groups = columns[3].split(",") if len(columns) > 3 and columns[3] else []
        users[_digest(columns[0])] = UserInfo(columns[1], columns[2], tuple(group.strip() for group in groups))
    return users


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def build(parts: ServerParts) -> TokenFile | None:
    return TokenFile(parts.config.token_file) if parts.config.token_file else None
