"""Rows of an audit."""

from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.targets import SUBJECTS

# Rows whose target is measured on the sample, without a setting of the user's.
ON_SAMPLE = [row.name for row in ROWS if SUBJECTS[row.target].about == "sample" and row.name != "T9.ttm"]


def on_sample(report):
    return [report[name] for name in ON_SAMPLE]
