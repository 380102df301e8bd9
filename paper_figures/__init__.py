"""Pictures: each a function from stored numbers to a figure."""
