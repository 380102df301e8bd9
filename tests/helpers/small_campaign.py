"""The quick campaign in a reduced form: seconds instead of minutes."""

import copy
import tomllib
from importlib.resources import files

from kd2m_theory.validation.campaigns.campaign import campaign


def reduced():
    """One epoch, two objectives, two seeds, of which one is audited, and one small coverage study."""
    shipped = files("kd2m_theory.validation.campaigns") / "shipped" / "quick.toml"
    table = copy.deepcopy(tomllib.loads(shipped.read_text()))
    sweep, study = table["sweep"][0], table["coverage"][0]
    table["sweep"] = [sweep]
    sweep |= {"seeds": [0, 1], "audited_seeds": [0], "epochs": [0, 1], "images": 150}
    sweep["objectives"] = {"none": {}, "w2": {"weight": [1e-3]}}
    sweep["training"]["epochs"] = sweep["teacher"]["training"]["epochs"] = 1
    study["draws"] = 50_000
    study["audits"] = [{"sizes": [80], "repeats": [120], "block": 60}]
    return campaign(table)
