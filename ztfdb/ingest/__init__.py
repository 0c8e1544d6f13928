"""One file's journey into the archive: found, measured by a worker, stored in one transaction, reported."""
