"""Features: tokens and frames -> numbers, in NumPy alone, the same for training and inference with or without torch."""
