"""``ztfdb serve``: an archive for programs, over HTTP, read-only. Imported by its command alone."""
