"""The usual ways of bringing scores into 0 to 100."""

from __future__ import annotations

from sampan.scheduler.framework.interface import MAX_NODE_SCORE
from sampan.scheduler.node_table import Ints


def scaled_to_max(scores: Ints, *, reverse: bool) -> Ints:
    """Upstream's default normalization: the largest becomes 100; reversed, the smallest is best."""
    most = int(scores.max(initial=0))
    shares = scores * MAX_NODE_SCORE // most if most else scores * 0
    return MAX_NODE_SCORE - shares if reverse else shares
