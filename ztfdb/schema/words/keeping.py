"""Unit, UCD and description of administrative columns: settings, jobs, ZTF's catalogue files."""

from __future__ import annotations

from ztfdb.schema.words.facts import Facts

COLUMNS: dict[str, Facts] = {
    "key": ("", "meta.id", "Name of the fact."),
    "value": ("", "meta.note", "The fact, as JSON text."),
    "config_id": ("", "meta.id", "Settings and software of the measurement, a row of config."),
    "config_hash": ("", "meta.checksum", "SHA-256 of settings and versions, hexadecimal."),
    "settings": ("", "meta.note", "Settings as JSON."),
    "versions": ("", "meta.version;meta.software", "Versions of the software, JSON."),
    "job_id": ("", "meta.id", "Number of the job."),
    "mask_size": ("byte", "meta.number;meta.file", "Size of the mask's file; empty without one."),
    "mask_mtime_ns": ("ns", "time.epoch;meta.file", "Modification time of the mask's file, since 1970-01-01 UTC."),
    "state": ("", "meta.code.status", "pending, leased, failed, done or quarantined."),
    "queued": ("s", "time.epoch", "When the job was enqueued, since 1970-01-01 UTC."),
    "due": ("s", "time.epoch", "When the job can be claimed, since 1970-01-01 UTC; empty if it no longer can."),
    "ended": ("s", "time.end", "When the job last ended: done, failed or set aside, since 1970-01-01 UTC."),
    "owner": ("", "meta.id", "Process that claimed the job."),
    "token": ("", "meta.id", "Number of the claim."),
    "attempts": ("", "meta.number", "Failures so far of this content of the file."),
    "outcome": (
        "",
        "meta.code.status",
        "Outcome for the image: stored, replaced, unchanged, known copy, moved or failed.",
    ),
    "error": ("", "meta.code.error", "Name of the error's class."),
    "detail": ("", "meta.note", "The complete error message."),
    "problem": ("", "meta.note", "What is wrong with the file or the rows."),
    "seconds": ("s", "time.duration", "Time that it took."),
    "method": ("", "meta.code", "How it was measured."),
    "nmatches": ("", "meta.number;src.calib", "Header NMATCHES: calibrators from which magzp was fitted."),
    "psfrunsw": ("", "meta.id;meta.software", "Header PSFRUNSW: the software that made the catalogue."),
    "psfrunvn": ("", "meta.version;meta.software", "Header PSFRUNVN: its version."),
    "rundate": ("", "time.processing", "Headers RUNDATE and RUNTIME, ISO 8601."),
    "inputimg": ("", "meta.id;meta.file", "Header INPUTIMG: the image the catalogue was made from."),
    "inputpsf": ("", "meta.id;meta.file", "Header INPUTPSF: the PSF the catalogue was made with."),
}  # fmt: skip
