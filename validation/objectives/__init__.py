"""Training objectives: one file each, one interface (`objective.py`)."""
