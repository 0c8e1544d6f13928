"""New rows from rows: matches with reference catalogues, and calibrations made from them."""
