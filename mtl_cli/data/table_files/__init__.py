"""Tables in other files than text and parquet: workbooks, ARFF, JSON lines, Feather."""
