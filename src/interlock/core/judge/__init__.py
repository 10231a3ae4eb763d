"""Is the release worse than it may be, and how sure are we? `observe` each sample, then `judge` the evidence."""

from interlock.core.judge.baseline import Baseline, History
from interlock.core.judge.evidence import Evidence, begin, observe, step
from interlock.core.judge.joint import decide_both, joint_odds_against, judge_both
from interlock.core.judge.judgement import Finding, Judgement, judge
from interlock.core.judge.latency import ENOUGH_ANSWERS
from interlock.core.judge.proof import time_to_prove
from interlock.core.judge.record import decode, encode
from interlock.core.judge.verdict import Verdict, decide, odds_against

__all__ = [
    "ENOUGH_ANSWERS",
    "Baseline",
    "Evidence",
    "Finding",
    "History",
    "Judgement",
    "Verdict",
    "begin",
    "decide",
    "decide_both",
    "decode",
    "encode",
    "joint_odds_against",
    "judge",
    "judge_both",
    "observe",
    "odds_against",
    "step",
    "time_to_prove",
]
