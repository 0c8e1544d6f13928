"""Translate ADQL, the query language of the Virtual Observatory, into the SQL of either engine, without running it."""
