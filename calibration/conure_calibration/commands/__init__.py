"""`conure calibrate WHAT`: a folder of raw data in, a result and a page out."""
