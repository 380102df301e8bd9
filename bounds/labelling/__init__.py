"""Which inputs to label, and what their labels then say about the file and about the population."""
