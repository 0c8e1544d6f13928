"""The description of one column."""

from __future__ import annotations

Facts = tuple[str, str, str]
"""Unit (in astropy's spelling), UCD, description."""
