"""TAP 1.1: statements in ADQL, synchronous and asynchronous, and what the service says of itself."""
