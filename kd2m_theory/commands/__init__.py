"""The `kd2m` command, one module per verb."""
