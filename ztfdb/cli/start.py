"""The entry point ``ztfdb``: signals first, then the imports of all commands."""

from __future__ import annotations

import os
import sys

from ztfdb.cli.ending import end_in_order, how_ended, let_signals_end_the_process, started


def main() -> None:
    """Entry point ``ztfdb``."""
    # Set before numpy is imported: otherwise OpenBLAS starts a thread for each core, and each waits in a loop, which
    # takes as much processor time as the import. No command multiplies matrices that are large enough for threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    end_in_order()
    from ztfdb.cli.app import application

    started(main.__code__)
    try:
        application.main(prog_name="ztfdb")
    except KeyboardInterrupt:  # in the first or the last moment of the command
        let_signals_end_the_process()
        os.write(2, f"{how_ended()[0]}\n".encode())
        sys.exit(how_ended()[1])
