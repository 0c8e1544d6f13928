"""One file's journey into the archive: found, measured by a worker, stored in one transaction, reported."""

from ztfdb.ingest.discover import Candidate, Discovery, discover
from ztfdb.ingest.psfcat import ingest_psfcats
from ztfdb.ingest.report import ImageOutcome, IngestReport, IngestStep, Outcome, Progress
from ztfdb.ingest.run import ingest_paths

__all__ = [
    "Candidate",
    "Discovery",
    "ImageOutcome",
    "IngestReport",
    "IngestStep",
    "Outcome",
    "Progress",
    "discover",
    "ingest_paths",
    "ingest_psfcats",
]
