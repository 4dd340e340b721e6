"""The data path: its interface, its implementations, and the record channel to its process."""
