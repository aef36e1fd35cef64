"""Shuffle sharding: each flow gets a hand of queues of its own, so that one loud flow fills only a few.

A flow's hash is read as a number in a mixed radix that deals `hand_size` different cards of a deck; two flows rarely
hold the same hand. The request joins the queue of its hand that has least to do. Source: KEP-1040.
"""

from __future__ import annotations

import hashlib


def flow_hash(schema: str, flow: str) -> int:
    """64 bits of who it is."""
    return int.from_bytes(hashlib.sha256(f"{schema},{flow}".encode()).digest()[:8], "little")


def deal(hash: int, deck_size: int, hand_size: int) -> list[int]:
    """Different numbers below `deck_size`, the same ones for the same hash."""
    hand: list[int] = []
    for dealt in range(min(hand_size, deck_size)):
        hash, card = divmod(hash, deck_size - dealt)
        for earlier in sorted(hand):
            if card >= earlier:
                card += 1
        hand.append(card)
    return hand
