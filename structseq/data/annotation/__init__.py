"""Formats of annotation tools: texts with labelled places, read into documents and written from them."""
