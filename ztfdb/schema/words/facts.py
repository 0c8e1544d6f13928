"""What is said about one column."""

from __future__ import annotations

Facts = tuple[str, str, str]
"""Unit (as astropy spells it), UCD, description."""
