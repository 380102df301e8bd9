"""`python -m kd2m_theory` is the `kd2m` command."""

from kd2m_theory.commands.main import main

main()
