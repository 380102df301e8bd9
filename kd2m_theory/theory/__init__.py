"""The theorems themselves: statements, sharpness witnesses, counterexamples, mutants, and symbolic identities.

One theorem, one file. Nothing here imports a room: every inequality is written out from its definition, so that it can
serve as an oracle of the code in `kd2m_theory.bounds`, which computes the same numbers another way and certifies them.
"""
