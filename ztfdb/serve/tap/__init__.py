"""TAP 1.1: synchronous and asynchronous ADQL statements, and the service's description of itself."""
