"""Evidence that takes too long for the tests: tens of thousands of cases against oracles of their own, kept as tables."""
