"""Tables of the figures, each computed once for all tests; the ladder's from a demonstration cut short."""

from functools import cache

import pytest

from kd2m_theory import audit
from kd2m_theory.paper_figures.registry import chosen
from kd2m_theory.validation.populations.digits import Digits
from kd2m_theory.validation.training import demo
from kd2m_theory.validation.training.demo_training import Settings

# One of every target and of every look.
ROWS = [
    "T1.literal",
    "T1.directed",
    "T2.cw2",
    "T2.logits.head_aware",
    "T5.curved",
    "T5.logits.curved",
    "T0",
    "T0.error",
    "T9.kl",
]


@cache
def table_of(name):
    return fresh_table(name)


def fresh_table(name):
    (figure,) = chosen([name])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "TEACHER", Settings(epochs=6, batch=64, learning_rate=2e-3))
        patch.setattr(demo, "STUDENT", Settings(epochs=6, batch=64, learning_rate=5e-3))
        whole = demo.load_halves
        patch.setattr(demo, "load_halves", lambda seed: [Digits(half.images[:300], half.labels[:300]) for half in whole(seed)])
        patch.setattr(demo, "audit", lambda pair: audit(pair, only=ROWS))
        return figure.numbers()
