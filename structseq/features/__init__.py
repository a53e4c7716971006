"""Features: tokens and frames to numbers, in NumPy."""
