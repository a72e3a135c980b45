"""The benchmarks: one file per question. `make bench` runs them all, prints a table and keeps the record."""
