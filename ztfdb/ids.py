"""Relation between the ids of images and sources."""

from __future__ import annotations

SOURCE_ID_SHIFT = 18
"""``source_id = image_id << 18 | number``: at most 2^18 sources per image."""

MAX_SOURCES = 1 << SOURCE_ID_SHIFT
"""Largest number of sources of an image."""


def source_id_range(image_id: int) -> tuple[int, int]:
    """Return the first and the last ``source_id`` of an image (one more than the last may not fit 64 bits)."""
    first = int(image_id) << SOURCE_ID_SHIFT
    return first, first + MAX_SOURCES - 1
