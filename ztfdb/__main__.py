"""``python -m ztfdb`` is ``ztfdb``."""

from ztfdb.cli import main

if __name__ == "__main__":
    main()
