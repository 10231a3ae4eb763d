"""How does a feature flag stand, and how is it moved by itself: at once, or step by step under watch?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import duration, output

if TYPE_CHECKING:
    from interlock.app.standing import Stands
    from interlock.core.flag import FlagState

_NAME = "the flag, as whoever keeps it calls it"


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="get|set|list|rollout", required=True)
    for name, about, more in (
        ("get", "show how a flag stands", _get_arguments),
        ("set", "move a flag at once", _set_arguments),
        ("list", "show all flags of an environment", _list_arguments),
        ("rollout", "give a flag out step by step, each watched", _rollout_arguments),
    ):
        verb = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        verb.set_defaults(usage=verb.error)
        more(verb)


def _get_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=_NAME)
    _environment(parser, required=False)
    output(parser)


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    _environment(parser, required=True)
    output(parser)


def _set_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=_NAME)
    _environment(parser, required=True)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--percentage",
        type=_percentage,
        metavar="5",
        help="give it to so many percent of users, and enable it; 0 is off",
    )
    how.add_argument("--on", action="store_true", help="enable it with the percentage that it has")
    how.add_argument("--off", action="store_true", help="disable it: always possible, also during a rollout")
    parser.add_argument("--wait", action="store_true", help="until clients must know of it")
    parser.add_argument(
        "--override", action="append", default=[], metavar="window", help="give it to more users though it is closed"
    )
    parser.add_argument(
        "-m", "--reason", default="", metavar="TEXT", help="why, for the record; needed with --override"
    )
    parser.set_defaults(fixes="")
    output(parser)


def _rollout_arguments(parser: argparse.ArgumentParser) -> None:
    from interlock.surfaces.cli.deploy import excusing, starting

    parser.add_argument("name", metavar="NAME", help=_NAME)
    _environment(parser, required=True)
    parser.add_argument("--steps", type=_steps, metavar="5%,25%,100%", help="the percentages (default: as in the file)")
    parser.add_argument("--to", type=_percentage, metavar="50%", help="the last of them")
    parser.add_argument(
        "--bake", type=duration, metavar="5m", help="how long each is watched (default: as in the file)"
    )
    parser.add_argument("--off", action="store_true", help="or turn it off, watched")
    parser.add_argument("--dry-run", action="store_true", help="only show the plan")
    excusing(parser)
    starting(parser)


def _environment(parser: argparse.ArgumentParser, *, required: bool) -> None:
    which = "where" if required else "where (default: each that keeps flags)"
    parser.add_argument("-e", "--environment", metavar="NAME", required=required, help=which)


async def run(call: Call) -> Exit:
    match call.options.verb:
        case "get":
            return await _get(call)
        case "list":
            return await _list(call)
        case "set":
            return await _set(call)
    return await _rollout(call)


async def _get(call: Call) -> Exit:
    from interlock.app.standing import stands

    found = await stands(call.state, call.file, call.options.name, call.options.environment)
    if call.json:
        call.document({"type": "flags", "flags": [_document(one) for one in found]})
    else:
        for line in _lines([(one.environment, one) for one in found]):
            call.say(line)
    return Exit.OK if any(one.state for one in found) else Exit.ERROR


async def _list(call: Call) -> Exit:
    from interlock.app.standing import every

    found = await every(call.state, call.file, call.options.environment)
    if call.json:
        call.document({"type": "flags", "flags": [_document(one) for one in found]})
        return Exit.OK
    for line in _lines([(one.flag, one) for one in found]):
        call.say(line)
    if not found:
        call.say(f"there are no flags in {call.options.environment}")
    return Exit.OK


async def _set(call: Call) -> Exit:
    from interlock.app.flags import toggle_feature_flag
    from interlock.surfaces.cli.deploy import excuse

    options = call.options
    action = "disable" if options.off else "enable" if options.on else "update_strategy"
    call.goes_on = f"interrupted while the flag was moved: see `interlock flag get {options.name}` how it stands"
    done = await toggle_feature_flag(
        call.app,
        call.file,
        options.name,
        action,
        options.environment,
        options.percentage,
        wait=options.wait,
        excuse=excuse(call),
    )
    call.say(str(done))
    if done.taken:
        call.say(done.taken)
    if done.rollout:
        run = done.rollout.removesuffix(f"-{done.environment}")
        if done.now.exposure:
            call.say(f"{done.rollout} has this flag. If it is paused: interlock resume {run}")
        else:
            call.say(
                f"{done.rollout} has this flag, and gives it to nobody any more: paused, unless it is on its way back. "
                f"Without the flag goes on: interlock resume {run}. Everything goes back: interlock abort {run}"
            )
    if call.json:
        before, now = _state(done.before), _state(done.now)
        what = {"flag": done.flag, "environment": done.environment, "action": done.action.value}
        call.document({"type": "flag-set", **what, "before": before, "now": now, "taken": done.taken or None,
                       "rollout": done.rollout or None})  # fmt: skip
    return Exit.OK


async def _rollout(call: Call) -> Exit:
    from interlock.app.flag_rollout import flag_rollout
    from interlock.surfaces.cli.deploy import carry_out, excuse

    options = call.options
    if options.off and (options.steps is not None or options.to is not None):
        options.usage("expected --off, or --steps and --to, found both")
    plan = await flag_rollout(
        call.state,
        call.file,
        options.name,
        options.environment,
        steps=options.steps,
        to=options.to,
        bake=options.bake,
        off=options.off,
        excuse=excuse(call),
    )
    if options.dry_run:
        from interlock.surfaces.cli.plan import show
        from interlock.surfaces.cli.show.plan import document

        if call.json:
            call.document(document(plan, {}))
        show(call, plan, {})
        return Exit.OK
    return await carry_out(call, plan)


def _lines(rows: list[tuple[str, Stands]]) -> list[str]:
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {_said(one)}" for name, one in rows]


def _said(one: Stands) -> str:
    if one.state is None:
        return one.trouble
    state = one.state
    more = [f"by {state.stickiness}"] if state.stickiness and state.percentage is not None else []
    more += [_count(len(state.constraints), "constraint")] if state.constraints else []
    more += [f"belongs to {one.rollout}"] if one.rollout else []
    return str(state) + (f" ({', '.join(more)})" if more else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _document(one: Stands) -> dict[str, Any]:
    where = {"environment": one.environment, "flag": one.flag}
    return {**where, "state": _state(one.state), "rollout": one.rollout or None, "trouble": one.trouble or None}


def _state(state: FlagState | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {
        "enabled": state.enabled,
        "percentage": state.percentage,
        "exposure": state.exposure,
        "stickiness": state.stickiness or None,
        "constraints": list(state.constraints),
        "variants": list(state.variants),
    }


def _percentage(text: str) -> int:
    """Read ``5`` or ``5%``: a whole number from 0 to 100."""
    digits = text.removesuffix("%")
    if not digits.isdecimal() or int(digits) > 100:
        raise argparse.ArgumentTypeError(f'expected a whole percentage from 0 to 100 such as "5", found "{text}"')
    return int(digits)


def _steps(text: str) -> tuple[int, ...]:
    """Read ``5%,25%,100%``."""
    return tuple(_percentage(one.strip()) for one in text.split(","))
