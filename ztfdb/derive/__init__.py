"""Derive new rows from stored ones: matches, calibrations, objects, forced measurements, checks."""
