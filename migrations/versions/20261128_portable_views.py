"""Views whose numbers are the same on both engines, without mathematical functions: ``env.py`` makes all views anew.

Revision: 20261128_portable_views
Follows: 20261128_descriptions
"""

from __future__ import annotations

revision = "20261128_portable_views"
down_revision = "20261128_descriptions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
