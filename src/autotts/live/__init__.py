"""Live episodes: the control space over a pool that grows, filled just before it is read.

A program's request is checked, then covered (what it will read is decoded), then performed by the
functions that replay uses. So replay and live can't drift apart, and a live trace is a replay
trace.
"""

from autotts.live.budget import CostLimit
from autotts.live.episode import Played, Stop, play
from autotts.live.pool import ActionRequest, GrowingPool
from autotts.live.recorder import recording_of, served_under
from autotts.live.served import Reading, ServedTrajectories, Spent
from autotts.live.suspended import InThisProcess, Suspend, Suspended
from autotts.live.trajectories import RecordedTrajectories, Trajectories

__all__ = [
    "ActionRequest",
    "CostLimit",
    "GrowingPool",
    "InThisProcess",
    "Played",
    "Reading",
    "RecordedTrajectories",
    "ServedTrajectories",
    "Spent",
    "Stop",
    "Suspend",
    "Suspended",
    "Trajectories",
    "play",
    "recording_of",
    "served_under",
]
