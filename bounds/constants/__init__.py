"""Lipschitz constants of losses, heads and networks."""
