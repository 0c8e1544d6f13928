"""The rights, owners and dependents of views on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from ztfdb.store.statement import SetAside

_DEPENDENTS = """
select distinct cast(ours.relname as text) as ours, cast(cast(other.oid as regclass) as text) as other
from pg_class as ours
join pg_depend on pg_depend.refobjid = ours.oid and pg_depend.refclassid = cast('pg_class' as regclass)
join pg_rewrite on pg_rewrite.oid = pg_depend.objid and pg_depend.classid = cast('pg_rewrite' as regclass)
join pg_class as other on other.oid = pg_rewrite.ev_class
where ours.oid = any(:views) and other.oid <> ours.oid and not other.oid = any(:views)
order by 1, 2
"""

_GRANTS = """
select quote_ident(a.view) as view, a.columns, a.privilege_type as privilege, a.is_grantable as grantable,
       case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee
from (
    select relname as view, '' as columns, relowner as owner, (aclexplode(relacl)).*
    from pg_class where oid = any(:views)
    union all
    select relname, '(' || quote_ident(attname) || ')', relowner, (aclexplode(attacl)).*
    from pg_attribute join pg_class on pg_class.oid = attrelid where attrelid = any(:views)
) as a
where a.grantee <> a.owner
order by 1, 2, 3, 5
"""

_OWNERS = """
select quote_ident(relname) as view, quote_ident(pg_get_userbyid(relowner)) as owner
from pg_class where oid = any(:views) and relowner <> cast(quote_ident(current_user) as regrole)
"""


def set_aside(connection: Connection, names: Sequence[str]) -> SetAside:
    """Return statements that restore these views with their rights, and the views that others use."""
    oids = connection.execute(
        text("select cast(to_regclass(name) as oid) from unnest(cast(:names as text[])) as name"),
        {"names": list(names)},
    )
    views: dict[str, Any] = {"views": [oid for (oid,) in oids if oid is not None]}
    aside = SetAside()
    for ours, other in connection.execute(text(_DEPENDENTS), views):
        aside.in_use.setdefault(ours, []).append(other)
    for row in connection.execute(text(_OWNERS), views):
        if row.view not in aside.in_use:
            aside.statements.append(f"alter view {row.view} owner to {row.owner}")
    for row in connection.execute(text(_GRANTS), views):
        if row.view not in aside.in_use:
            option = " with grant option" if row.grantable else ""
            aside.statements.append(f"grant {row.privilege} {row.columns} on {row.view} to {row.grantee}{option}")
    return aside
