"""What goes wrong with a patch: malformed is 400, not applicable is 422, each as upstream answers."""

from __future__ import annotations

from sampan.apimachinery.errors import BadRequest, Invalid


class PatchError(BadRequest):
    """The patch itself is malformed."""


class PatchFailed(Invalid):
    """A well-formed patch that does not fit the document. Upstream's message is generic; the cause says why."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "the server rejected our request due to an error in our request",
            {"causes": [{"reason": "UnexpectedServerResponse", "message": why, "field": "patch"}]},
        )
        self.why = why
