"""The plans of all statements that an archive runs, on both engines."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from ztfdb.archive import Archive

PLANNED_FOR_MANY = (
    "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on;"
    " set auto_explain.log_timing = off; set client_min_messages = log;"
    " set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off"
)
"""PostgreSQL sends each plan as a notice, and plans for few of many rows although the tables of a test are small."""


@contextmanager
def planned(archive: Archive) -> Iterator[list[str]]:
    """Yield a list that gets the plan of each statement of the archive's new connections."""
    plans: list[str] = []
    asked: list[str] = []

    def connected(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(asked.append)
            return
        connection.autocommit = True
        connection.execute(PLANNED_FOR_MANY)
        connection.autocommit = False
        connection.add_notice_handler(lambda notice: plans.append(notice.message_primary))

    engine = archive._engine
    engine.dispose()
    event.listen(engine, "connect", connected)
    try:
        yield plans
    finally:
        event.remove(engine, "connect", connected)
        engine.dispose()
    if asked:
        with sqlite3.connect(engine.url.database) as connection:
            for statement in asked:
                if statement.lower().startswith(("select", "delete", "update")):
                    lines = connection.execute(f"explain query plan {statement}").fetchall()
                    plans.append("\n".join([statement, *(line[-1] for line in lines)]))
        connection.close()


def read_whole(plan: str) -> set[str]:
    """Return the tables of which a plan reads all rows."""
    whole = set(re.findall(r"^SCAN (\w+)", plan, re.MULTILINE))  # SQLite
    nodes = re.split(r"\n *(?:->|SubPlan|InitPlan)", plan)
    for node in nodes:
        if "never executed" in node:
            continue
        found = re.search(r"(?:Seq Scan|Index Scan using \w+|Index Only Scan using \w+) on (\w+)", node)
        if found and "Index Cond" not in node:
            whole.add(found[1])
    return whole
