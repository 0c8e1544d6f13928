"""What images lack: ``image.caveats``, for those that are stored already as far as their rows and headers say.

Revision: 20261128_caveats
Follows: 20261128_registered_catalogues
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_caveats"
down_revision = "20261128_registered_catalogues"
branch_labels = None
depends_on = None

FILL = """
update image set caveats =
    case when gain is null then 1 else 0 end
    + case when exists (
        select 1 from image_header
        where image_header.image_id = image.image_id and image_header.role in ('sci', 'ref')
            and lower(trim({bunit})) not in
                ('', 'data value', 'data values', 'data number', 'dn', 'adu', 'count', 'counts', 'ct')
    ) then 2 else 0 end
    + case when has_mask or kind = 'ref' then 0 else 4 end
"""


def upgrade() -> None:
    op.add_column("image", sa.Column("caveats", sa.SmallInteger()))
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute(FILL.format(bunit="json_extract(cards, '$.BUNIT')" if sqlite else "cards ->> 'BUNIT'"))


def downgrade() -> None:
    op.drop_column("image", "caveats")
