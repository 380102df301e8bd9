"""Optimal transport between clouds whose n × m costs are never stored."""
