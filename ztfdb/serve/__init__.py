"""``ztfdb serve``: an archive over HTTP, read-only. Only its command imports this package."""
