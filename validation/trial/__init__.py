"""The catalogue on trial: falsifier, mutants, agreement of catalogue and audit."""
