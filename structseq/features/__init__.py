"""Features: tokens and frames -> numbers, in NumPy alone, for training and inference."""
