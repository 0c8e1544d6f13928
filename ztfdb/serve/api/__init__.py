"""REST at ``/api/v1``: the archive's own questions as JSON, described by OpenAPI. Only this room sees fastapi."""
