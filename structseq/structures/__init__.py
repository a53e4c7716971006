"""Structures: distributions over tag sequences, segmentations, alignments and symbol sequences; exact, in torch."""
