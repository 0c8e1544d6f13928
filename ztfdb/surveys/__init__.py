"""Catalogues of surveys as their files hold them: which column is which of ours, and HATS catalogues read in place."""
