"""The rows of an audit, one theorem per file."""
