"""Data: examples, the file formats, and the options of reading."""
