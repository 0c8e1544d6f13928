"""REST at ``/api/v1``: the archive's queries as JSON, described by OpenAPI. Only this package imports fastapi."""
