"""Data: examples, the formats they are read from and written to, and the options of reading."""
