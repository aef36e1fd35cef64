"""The parameters of operations: name, JSON type and what it means, in our own words."""

from __future__ import annotations

from typing import Final

PATH_PARAMETERS: Final = frozenset({"name", "namespace"})

PARAMETERS: Final[dict[str, tuple[str, str]]] = {
    "allowWatchBookmarks": ("boolean", "Ask a watch for BOOKMARK events, which carry only a resourceVersion. A server "
                                       "may ignore it. Without `watch` it has no meaning."),
    "continue": ("string", "The token of an earlier answer's `metadata.continue`: goes on with that list at the "
                           "resourceVersion it was read at. A token that has expired is answered with 410."),
    "dryRun": ("string", "`All` runs every stage of the request but stores nothing. Any other value is an error."),
    "fieldManager": ("string", "The name of the actor that makes the change; printable, at most 128 characters. Apply "
                               "requests must give one."),
    "fieldSelector": ("string", "Restricts the answer to objects whose fields have these values. Default: everything."),
    "fieldValidation": ("string", "What happens to unknown and duplicate fields: `Ignore` drops them silently, `Warn` "
                                  "(the default) drops them with a warning for each, `Strict` refuses the request."),
    "force": ("boolean", "For apply: take over fields that other managers own instead of reporting a conflict."),
    "gracePeriodSeconds": ("integer", "How many seconds the object gets to end; 0 deletes at once. Without it, the "
                                      "kind's default."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": (
        "boolean", "Delete an object that can no longer be read from the store, without finalizers or other checks."),
    "labelSelector": ("string", "Restricts the answer to objects whose labels match. Default: everything."),
    "limit": ("integer", "At most so many items; if there are more, the answer has `metadata.continue`. All pages of "
                         "one list show the state at one resourceVersion."),
    "name": ("string", "name of the object"),
    "namespace": ("string", "object name and auth scope, such as for teams and projects"),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "pretty": ("string", "If `true`, the answer is indented for reading."),
    "propagationPolicy": ("string", "What becomes of dependents: `Orphan`, `Background` or `Foreground`."),
    "resourceVersion": ("string", "Constrains how fresh the state must be that the request is served from."),
    "resourceVersionMatch": ("string", "How resourceVersion constrains a list: `Exact` or `NotOlderThan`."),
    "sendInitialEvents": ("boolean", "For a watch: begin with the present state as ADDED events, then a bookmark "
                                     "marked with `k8s.io/initial-events-end`. Needs "
                                     "resourceVersionMatch=NotOlderThan."),
    "timeoutSeconds": ("integer", "How long a list or watch may take, whatever else happens."),
    "watch": ("boolean", "Stream changes instead of answering with a list."),
}
