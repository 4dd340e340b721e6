"""prol2tp-pathd: the process that owns the data path."""
