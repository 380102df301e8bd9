"""Campaigns: many pairs trained, measured and audited, and the question whether measured gaps respect the bounds."""
