"""Catalogues of surveys in their own files: mapping of columns to ztfdb's, and HATS catalogues read in place."""
