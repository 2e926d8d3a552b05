"""The main road: each verb, top to bottom, in four rooms.

Every verb is a command and a function of the same name with the same options. Explore verbs return an
``Answer``, the others a ``Result`` whose ``to_dict()`` is ``data`` of the JSON contract.
"""

from ambidex.journeys.advise import career, demo, doctor, help, init, next, role, status, team, token
from ambidex.journeys.deliver import bench, export, gate, models, package, promote, rollback, score, serve, test, train
from ambidex.journeys.explore import campaign, drivers, experiment, plan, profile, report, segments
from ambidex.journeys.operate import drift, feedback, investigate, monitor, resume, retrain, ui, watch

__all__ = [
    "bench",
    "campaign",
    "career",
    "demo",
    "doctor",
    "drift",
    "drivers",
    "experiment",
    "export",
    "feedback",
    "gate",
    "help",
    "init",
    "investigate",
    "models",
    "monitor",
    "next",
    "package",
    "plan",
    "profile",
    "promote",
    "report",
    "resume",
    "retrain",
    "role",
    "rollback",
    "score",
    "segments",
    "serve",
    "status",
    "team",
    "test",
    "token",
    "train",
    "ui",
    "watch",
]
