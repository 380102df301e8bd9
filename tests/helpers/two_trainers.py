"""One of the processes that `torchrun` starts: trains a tiny run of each objective."""

import json
import sys
from pathlib import Path

from runs import tiny

from kd2m_theory.validation.training.distillation import train

if __name__ == "__main__":
    for name, objective in json.loads(sys.argv[1]).items():
        done = train(tiny(objective, pairs__audit=True), Path(sys.argv[2]) / name, resume=True, device="cpu")
        assert done.violations == {3: ()}
