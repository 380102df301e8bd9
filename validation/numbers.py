"""The version of the numbers that this package computes."""

# Increased whenever a number moves that another run, store or table may hold.
NUMBERS = 1
