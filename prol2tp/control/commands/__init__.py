"""The commands of each daemon, declared once as plain data: the contract between processes."""
