"""How do feature flags move with a release, and how are they back before anything else is?

On the way back they are commanded off first, and again until whoever keeps them has confirmed it; traffic waits a
quarter of a second for that, not longer. What stood before is put back only when nobody can reach the new code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from interlock.core.events import Done, TurnedOff
from interlock.core.flag import OFF, Captured, Flag, FlagState
from interlock.core.steps import CaptureFlags, ConfirmFlags, PullFlags, RestoreFlags, SetFlag, spell
from interlock.engine.eye import SOMEBODY
from interlock.engine.ports import Deadline
from interlock.engine.puller import answered, flags_of
from interlock.engine.scene import LATER, Outcome, Scene
from interlock.engine.steer import until_open
from interlock.ports.flags import FlagsError, Gone, Unmovable


async def capture(scene: Scene, step: CaptureFlags) -> Outcome:
    """Write down how the flags stand; one that cannot be moved safely ends the rollout before anything has changed."""
    deadline = scene.deadline(step.within)
    while True:
        try:
            states = [await answered(flags_of(scene.ports).check(flag)) for flag in step.flags]
        except Unmovable as error:
            return scene.failed(f"{step}: {error}")
        except FlagsError as error:
            if deadline.over:
                return scene.failed(f"{step}: {error}")
            scene.hold(f"{step}: {error}")
            await scene.ports.clock.sleep(LATER)
        else:
            captured = tuple(Captured(flag, one, one) for flag, one in zip(step.flags, states, strict=True))
            said = ", ".join(f"{one.flag} is {one.now}" for one in captured)
            return _done(scene, f"{step}: {said}", captured)


async def set_flag(scene: Scene, step: SetFlag) -> Outcome:
    """Move a flag, read it back, and wait until those who evaluate it must know. More users only when all is well."""
    if step.percentage > OFF:
        await until_open(scene)
    if off_by := _left_off(scene, step):
        return scene.failed(f"{step}: {off_by} turned it off: it goes to no more users")
    deadline, put = Deadline.after(scene.ports.clock, step.within), _Put()
    while True:
        unsure = scene.unsure() if step.percentage > OFF else ""
        scene.trouble = f"not given to more users while it is not known whether all is well: {unsure}"
        if not unsure:
            try:
                return await _moved(scene, step, put)
            except FlagsError as error:
                scene.trouble = str(error)
        if deadline.over:
            return scene.failed(f"{step}: {scene.trouble}")
        await scene.ports.clock.sleep(LATER)


@dataclass(slots=True)
class _Put:
    """Whether this step has turned the flag on once: who turns it off from then on is a person."""

    on: bool = False


async def _moved(scene: Scene, step: SetFlag, put: _Put) -> Outcome:
    flags, flag = flags_of(scene.ports), step.flag
    if step.percentage == OFF:
        now = await answered(flags.turn_off(flag))
    else:
        await _still_on(scene, flag, put)
        now = await answered(flags.turn_on(flag, step.percentage))
        put.on = True
    how = await flags.taken(flag, now)
    if step.percentage > OFF:
        scene.sentinel.stepped()
    return _done(scene, f"{step}: {now}; {how}", (Captured(flag, _before(scene, flag) or now, now),))


def _left_off(scene: Scene, step: SetFlag) -> str:
    """Return who turned off, by hand, the flag that the step would give to users, where the rollout has it off, too."""
    held = _held(scene, step.flag)
    return held.off_by if held and step.percentage > OFF and held.now.exposure == OFF else ""


async def _still_on(scene: Scene, flag: Flag, put: _Put) -> None:
    """See, in the last moment, that nobody has turned it off by hand: what a person turned off stays off."""
    held = _held(scene, flag)
    if not put.on and (held is None or held.now.exposure == OFF):
        return
    found = await answered(flags_of(scene.ports).look(flag))
    if found.exposure == OFF:
        if held is None or not held.off_by:
            scene.guard.turned_off(TurnedOff(scene.ports.clock.now(), flag, SOMEBODY))
        raise FlagsError(f"flag {flag} was turned off by somebody else, so it is not turned on again")


def keep_pulling(scene: Scene) -> None:
    """On the way back, command off what is not confirmed yet, whatever the present step is: also after a crash."""
    if scene.rollout().pulling:
        scene.puller.begin(_moved_here(scene))


async def pull(scene: Scene, step: PullFlags) -> Outcome:
    """Have the flags commanded off, and go on as soon as that is confirmed, or time is up."""
    flags = _moved_here(scene)
    if await scene.puller.wait(flags, step.within):
        return _pulled(scene, f"{step}: confirmed")
    return scene.done(f"{step}: going on, as {scene.puller.unconfirmed(flags)}; it is commanded again until it is")


async def confirm(scene: Scene, step: ConfirmFlags) -> Outcome:
    """Wait for the confirmation that the way back did not wait for."""
    flags = _moved_here(scene)
    deadline, said = scene.deadline(step.within), ""
    while not await scene.puller.wait(flags, LATER):
        if deadline.over:
            return scene.failed(f"{step}: {scene.puller.unconfirmed(flags)} within {spell(step.within)}")
        if (why := scene.puller.unconfirmed(flags)) != said:
            said = why
            scene.hold(why)
    return _pulled(scene, str(step))


def _pulled(scene: Scene, note: str) -> Outcome:
    """Say how the flags that are off stand now."""
    stand = scene.puller.confirmed
    news = tuple(Captured(flag, _before(scene, flag) or now, now) for flag, now in stand.items())
    return _done(scene, note, news)


async def restore(scene: Scene, step: RestoreFlags) -> Outcome:
    """Put back what stood before, and see that it stands. Asked again by `perform` while the flags' keeper refuses."""
    scene.puller.end()
    restored = []
    for one in scene.rollout().flags:
        if one.flag in _moved_here(scene):
            restored.append(await _restored(scene, one))
    said = ", ".join(map(_stands, restored)) or "none was captured"
    return _done(scene, f"{step}: {said}", tuple(restored))


async def _restored(scene: Scene, one: Captured) -> Captured:
    """Put one back as it stood; one that a person turned off meanwhile stays off, whatever else is put back."""
    off = bool(one.off_by)
    try:
        now = await answered(flags_of(scene.ports).restore(one.flag, one.before, off=off))
    except Gone:  # whoever took it away wants it away
        return replace(one, now=FlagState(enabled=False))
    latest = _held(scene, one.flag) or one
    if latest.off_by and not off:
        return await _restored(scene, latest)
    if now.exposure if off else now.native != one.before.native:
        raise FlagsError(f"{one.flag} was to be {'off' if off else f'{one.before} again'} and is {now}")
    return replace(one, now=now)


def _stands(one: Captured) -> str:
    if not one.now.native:
        return f"{one.flag} is gone: somebody has archived or deleted it, and it is left so"
    left = f", left off as {one.off_by} turned it off" if one.off_by and one.before.exposure else ""
    return f"{one.flag} is {one.now}{left}"


def _moved_here(scene: Scene) -> tuple[Flag, ...]:
    """Return the flags that this rollout has moved, or was about to: others are left alone."""
    steps = scene.rollout().reached
    return tuple(dict.fromkeys(step.flag for step in steps if isinstance(step, SetFlag)))


def _held(scene: Scene, flag: Flag) -> Captured | None:
    return next((one for one in scene.rollout().flags if one.flag == flag), None)


def _before(scene: Scene, flag: Flag) -> FlagState | None:
    held = _held(scene, flag)
    return held.before if held else None


def _done(scene: Scene, note: str, flags: tuple[Captured, ...]) -> Outcome:
    event = Done(scene.ports.clock.now(), scene.rollout().index, note, flags=flags)
    return Outcome(event)
