"""Configuration files: text in, checked records out. Pure."""
