"""How did a run end, in a sentence?"""

from __future__ import annotations

from interlock.app.view import View
from interlock.app.words import brief
from interlock.core.phase import Phase
from interlock.core.rollout import Rollout
from interlock.core.steps import Gate


def stopped_by_gate(rollout: Rollout) -> bool:
    """Say whether a closed gate ended the rollout: then nothing was released, and nothing is wrong with the release."""
    at = None if rollout.turned_at is None else rollout.stage.steps[rollout.turned_at]
    return isinstance(at, Gate) and rollout.reason.startswith(str(at))


def ending(view: View) -> str:
    """Say in a sentence how the run ended."""
    last = view.current
    version, where = view.plan.version, last.stage.environment
    took = brief(last.since - view.rollouts[0].started)
    if view.not_begun:
        return f"{view.run} stopped after {where}: {view.not_begun}"
    match last.phase:
        case Phase.SUCCEEDED if last.stage.flag_alone:
            return f"{_flags(last)} in {where}, {took} after the start{_unproven(view)}"
        case Phase.SUCCEEDED:
            but = f"; FLAG ROLLED BACK: {last.retracted}" if last.retracted else ""
            return f"{version} runs in {where}, {took} after the start{_unproven(view)}{but}"
        case Phase.FAILED:
            return (
                f"{view.run} FAILED in {where}: {last.reason}. Look at once (interlock get {view.run}, interlock "
                f"doctor); to try again to go back: interlock abort {view.run}"
            )
        case Phase.ROLLED_BACK | Phase.SUPERSEDED if last.stage.flag_alone:
            moved = f"{_flags(last)} again" if last.exposed else "no flag was moved"
            return f"{last.phase.value}: {moved} in {where}. Why: {last.reason}"
        case Phase.ROLLED_BACK | Phase.SUPERSEDED if not last.exposed:
            kept = f". {version} is in quarantine" if last.quarantine else ""
            return f"{version} was not released to {where}, and no user reached it: {last.reason}{kept}"
        case Phase.ROLLED_BACK | Phase.SUPERSEDED:
            back = last.stage.replaces
            to = f"{where} runs {back.release.version} again" if back else f"{where} runs nothing, it answers 503"
            kept = f". {version} is in quarantine" if last.quarantine else ""
            return f"{last.phase.value}: {to}. Why: {last.reason}{kept}. Report: interlock report {view.run} --incident"
    return f"{view.run} is {last.phase.value} in {where}"


def _unproven(view: View) -> str:
    unproven = [said for rollout in view.rollouts for said in rollout.unproven]
    return f"; {len(unproven)} step{'s' if len(unproven) > 1 else ''} unproven" if unproven else ""


def _flags(rollout: Rollout) -> str:
    return ", ".join(f"flag {one.flag} is {one.now}" for one in rollout.flags)
