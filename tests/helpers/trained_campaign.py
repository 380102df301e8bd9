"""A campaign with every figure of training, on few images and in seconds, and its store."""

from campaign_work import Inline

from kd2m_theory.validation.campaigns import engine
from kd2m_theory.validation.campaigns.campaign import campaign
from kd2m_theory.validation.campaigns.plan import tasks
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.work import work

RECIPE = {"epochs": 2, "steps": 3, "batch": 16, "learning_rate": 2e-3}
TABLE = {
    "sweep": [
        {
            "population": {"name": "glyphs", "classes": 10, "side": 12},
            "teacher": {"network": "digits-teacher", "training": RECIPE},
            "students": ["digits-student"],
            "training": RECIPE,
            "seeds": [0, 1],
            "epochs": [2],
            "images": 60,
            "objectives": {
                "cw2": {"weight": [0.0, 1e-3, 1e-2]},
                "kd": {"weight": [0.9]},
                "ttm": {"weight": [1.0]},
                "unikd": {"weight": [0.1, 0.0]},
            },
        }
    ]
}


def trained_store(folder, table=TABLE):
    """The finished store of a campaign, computed in this process."""
    made, chosen = Store(folder / "store"), campaign(table)
    made.create(chosen.table, chosen.digest, resume=False)
    engine.run(tasks(chosen), made, Inline(folder / "scratch"), work)
    made.write_table()
    return made
