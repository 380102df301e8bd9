"""Tables of the figures, each computed once for all tests."""

from functools import cache

from kd2m_theory.paper_figures.registry import chosen


@cache
def table_of(name):
    return fresh_table(name)


def fresh_table(name):
    (figure,) = chosen([name])
    return figure.numbers()
