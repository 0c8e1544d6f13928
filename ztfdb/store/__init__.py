"""The only room that executes SQL."""
