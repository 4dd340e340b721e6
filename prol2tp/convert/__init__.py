"""Configurations of other programs, turned into ours. Pure: texts in, texts out."""
