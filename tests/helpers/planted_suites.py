"""Suites without libraries, for tests of what is around suites: workers import this module."""

import os
import signal
import time

from kd2m_theory.validation.evidence.suite import Case, Suite


def _suite(name, examine, **more):
    settings = {"blocks": 3, "items": 2, "seconds": 60.0, "memory": 2**30, "modules": ("planted_suites",), **more}
    return Suite(name=name, claim="A claim.", oracle="None.", case="a number", examine=examine, **settings)


def _holds(rng):
    yield Case({"parity": "even" if rng.integers(10) % 2 == 0 else "odd"})


def _fails(rng):
    number = int(rng.integers(10))
    yield Case({"parity": "even" if number % 2 == 0 else "odd", "number": str(number)}, "odd" if number % 2 else "")


def unlucky(rng):
    """Whether the process of this item is killed."""
    return rng.integers(2) == 1


def _kills(rng):
    if unlucky(rng):
        os.kill(os.getpid(), signal.SIGKILL)
    yield Case({"fate": "lucky"})


def _hangs(_rng):
    time.sleep(600)
    yield Case({})


def _raises(_rng):
    raise ValueError("the oracle\ndoes not know")


def _eats(_rng):
    yield Case({"size": str(len(bytearray(2**32)))})


def _nothing(_rng):
    return iter(())


HOLDS = _suite("holds", _holds)
FAILS = _suite("fails", _fails)
KILLS = _suite("kills", _kills, blocks=6, items=1)
HANGS = _suite("hangs", _hangs, blocks=1, seconds=2.0)
RAISES = _suite("raises", _raises, blocks=1)
EATS = _suite("eats", _eats, blocks=1, memory=2**28)
NOTHING = _suite("nothing", _nothing)
