"""Populations: sources of labelled images whose law is known well enough to test a generalisation statement."""
