"""Get and list: from the watch cache, as fresh as the client asked for; from the store's history for the past.

    resourceVersion   match          what is served
    unset             -              the newest: waits until the cache shows every earlier write
    "0"               -              whatever the cache has
    N                 NotOlderThan   the cache, once it has reached N
    N                 Exact          the store's state at N
    N                 -, with limit  as Exact
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from sampan.api.kind import Kind
from sampan.apimachinery import errors
from sampan.apimachinery.errors import BadRequest, Expired, Timeout
from sampan.apimachinery.field import FieldError, Path, forbidden, not_supported
from sampan.apimachinery.http import Request
from sampan.apimachinery.resource import Resource
from sampan.apiserver.parameters import integer
from sampan.apiserver.registry import tokens
from sampan.apiserver.registry.codec import Page
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.keys import local_key, prefix_of
from sampan.apiserver.registry.selection import Selection
from sampan.apiserver.registry.watch_cache import WatchCache
from sampan.storage.store import Compacted, FutureRevision, Store

FUTURE_WAIT_S = 3.0
EXACT, NOT_OLDER_THAN = "Exact", "NotOlderThan"
LIST_OPTIONS = Resource("meta.k8s.io", "v1", "listoptions", "ListOptions")
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class ReadPath:
    """Reads of stored kinds. `Selection` and `Page` say what and where."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub

    async def get(self, kind: Kind, namespace: str, name: str, request: Request) -> Entry:
        """One object. Raises NotFound, and Timeout for a revision that does not come."""
        version = request.param("resourceVersion") if request.query else ""
        if version == "":
            await self._hub.fresh()
        elif version != "0":
            await self.not_older_than(parse_revision(version))
        entry = self.cache_of(kind).get(local_key(namespace, name))
        if entry is None:
            raise errors.not_found(kind.resource, name)
        if kind.custom is not None and kind.custom.convert is not None:
            [entry] = await converted(kind, [entry])
        return entry

    def cache_of(self, kind: Kind) -> WatchCache:
        cache = self._hub.cache(kind.storage_resource or kind.resource)
        if cache is None:
            raise errors.NotFound("the server could not find the requested resource")
        return cache

    async def list(self, kind: Kind, selection: Selection, request: Request) -> tuple[Iterable[Entry], Page]:
        """The entries of one page, and the page."""
        entries, page = await self._list(kind, selection, request)
        if kind.custom is not None and kind.custom.convert is not None:
            entries = await converted(kind, entries)
        return entries, page

    async def _list(self, kind: Kind, selection: Selection, request: Request) -> tuple[Iterable[Entry], Page]:
        cache = self.cache_of(kind)
        if not request.query:
            revision = await self._hub.fresh()
            return cache.select(selection), Page(revision)
        check_list_options(request, watch=False)
        limit = _integer(request, "limit")
        version, token = request.param("resourceVersion"), request.param("continue")
        if token:
            if version and version != "0":
                raise BadRequest("specifying resource version is not allowed when using continue")
            return await self._continued(cache, selection, limit, token)
        match = request.param("resourceVersionMatch")
        if version not in ("", "0"):
            revision = parse_revision(version)
            if match == EXACT or (limit and not match):
                return await self._past(cache, selection, limit, revision)
            await self.not_older_than(revision)
        elif version == "":
            await self._hub.fresh()
        return self._present(cache, selection, limit, "", self._hub.revision)

    def _present(
        self, cache: WatchCache, selection: Selection, limit: int, after: str, revision: int
    ) -> tuple[Iterable[Entry], Page]:
        found = cache.select(selection, after)
        if not limit:
            return found, Page(revision)
        entries = list(islice(found, limit))
        following = next(found, None) if len(entries) == limit else None
        if following is None:
            return entries, Page(revision)
        remaining = 1 + sum(1 for _ in found) if selection.plain else 0
        return entries, Page(revision, tokens.encode(revision, entries[-1].key), remaining)

    async def _continued(
        self, cache: WatchCache, selection: Selection, limit: int, token: str
    ) -> tuple[Iterable[Entry], Page]:
        revision, after = tokens.decode(token)
        if revision == tokens.INCONSISTENT or revision >= cache.changed_at:
            if revision == tokens.INCONSISTENT:
                revision = await self._hub.fresh()
            return self._present(cache, selection, limit, after, revision)
        try:
            return await self._from_history(cache.kind, selection, limit, (revision, after))
        except Compacted:
            newer = tokens.encode(tokens.INCONSISTENT, after)
            raise ContinueExpired(_TOO_OLD, newer) from None

    async def _past(
        self, cache: WatchCache, selection: Selection, limit: int, revision: int
    ) -> tuple[Iterable[Entry], Page]:
        if await self._hub.fresh() >= revision >= cache.changed_at:
            return self._present(cache, selection, limit, "", revision)
        try:
            return await self._from_history(cache.kind, selection, limit, (revision, ""))
        except Compacted:
            raise Expired("The resourceVersion for the provided list is too old.") from None
        except FutureRevision as error:
            raise _too_large(revision, error.current) from None

    async def _from_history(
        self, kind: Kind, selection: Selection, limit: int, start: tuple[int, str]
    ) -> tuple[Iterable[Entry], Page]:
        """Read the store at an earlier revision; selectors are applied to what it had then."""
        revision, after = start
        prefix = prefix_of(kind.resource)
        within = f"{prefix}{selection.namespace}/" if selection.namespace else prefix
        found: list[Entry] = []
        cursor = prefix + after if after else ""
        while True:
            page = await self._store.list(within, start_after=cursor, limit=limit, revision=revision)
            for item in page.items:
                entry = Entry(kind, item.key[len(prefix) :], item.value, item.mod_revision)
                if selection.matches(entry):
                    found.append(entry)
                    if limit and len(found) == limit:
                        break
            if not page.remaining or (limit and len(found) == limit):
                break
            cursor = page.items[-1].key
        more = bool(limit) and len(found) == limit and (page.remaining or page.items[-1].key != prefix + found[-1].key)
        if not more:
            return found, Page(revision)
        remaining = page.remaining if selection.plain else 0
        return found, Page(revision, tokens.encode(revision, found[-1].key), remaining)

    async def not_older_than(self, revision: int) -> None:
        if self._hub.revision < revision and not await self._hub.reach(revision, FUTURE_WAIT_S):
            raise _too_large(revision, self._hub.revision)


async def converted(kind: Kind, entries: Iterable[Entry]) -> Sequence[Entry]:
    """The same objects in the version of a kind whose versions another program converts."""
    custom = kind.custom
    assert custom is not None and custom.convert is not None
    objects = await custom.convert([entry.object() for entry in entries], kind.resource.api_version)
    for obj in objects:
        custom.on_read(obj)
    return [Entry.of(kind, obj) for obj in objects]


class ContinueExpired(Expired):
    """A continue token from before the compaction; `.token` goes on without the consistency."""

    def __init__(self, message: str, token: str) -> None:
        super().__init__(message)
        self.token = token

    def to_status(self) -> dict[str, object]:
        return {**super().to_status(), "metadata": {"continue": self.token}}


def parse_revision(text: str) -> int:
    """A resourceVersion as a number. Raises BadRequest."""
    is_number = text.isascii() and text.isdigit()
    if is_number and len(text) <= 20 and (revision := int(text)) < 2**64:
        return revision
    why = "value out of range" if is_number else "invalid syntax"
    raise BadRequest(
        f'invalid resource version: resourceVersion: Invalid value: "{text}": '
        f'strconv.ParseUint: parsing "{text}": {why}'
    )


def _too_large(wanted: int, current: int) -> Timeout:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Too large resource version: {wanted}, current: {current}"
    return Timeout(message, {"causes": [cause], "retryAfterSeconds": 1})


def check_list_options(request: Request, *, watch: bool) -> None:
    """What upstream's ValidateListOptions refuses. Raises Invalid."""
    match, initial = request.param("resourceVersionMatch"), request.query.get("sendInitialEvents")
    if not match and not initial:
        return
    found = _watch_errors(request, match, bool(initial)) if watch else _list_errors(request, match, bool(initial))
    if found:
        raise errors.invalid(LIST_OPTIONS, "", found)


def _list_errors(request: Request, match: str, initial: bool) -> list[FieldError]:
    path = Path("resourceVersionMatch")
    version = request.param("resourceVersion")
    found: list[FieldError] = []
    if match:
        if not version:
            found.append(forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if request.param("continue"):
            found.append(forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in (EXACT, NOT_OLDER_THAN):
            found.append(not_supported(path, match, (EXACT, NOT_OLDER_THAN, "")))
        if match == EXACT and version == "0":
            found.append(forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if initial:
        found.append(forbidden(Path("sendInitialEvents"), "sendInitialEvents is forbidden for list"))
    return found


def _watch_errors(request: Request, match: str, initial: bool) -> list[FieldError]:
    path = Path("resourceVersionMatch")
    found: list[FieldError] = []
    if initial and match != NOT_OLDER_THAN:
        message = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
        found.append(forbidden(path, message))
    if match:
        if not initial:
            message = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            found.append(forbidden(path, message))
        if match != NOT_OLDER_THAN:
            found.append(not_supported(path, match, (NOT_OLDER_THAN,)))
        if request.param("continue"):
            found.append(forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
    return found


def _integer(request: Request, name: str) -> int:
    text = request.param(name)
    return max(0, integer(text)) if text else 0
