"""Is an approval what it claims to be? Checked before the rollout hears of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from interlock.core.approval import NAMESPACE, is_author, read, refusal
from interlock.core.events import Order, OrderKind, Proven
from interlock.core.rollout import Rollout
from interlock.core.transitions import Refused
from interlock.engine.outside import people
from interlock.engine.ports import Ports
from interlock.ports.on_call import OnCallError
from interlock.ports.signatures import SignatureError

_WITHIN = timedelta(seconds=10)


async def checked(ports: Ports, order: Order, rollout: Rollout) -> Order:
    """Return the order with what could be proven of it, and nothing that its sender says of that; raise Refused.

    Where no signers are listed an approval is a local user's, unproven.
    """
    order = replace(order, word=None)
    policy = rollout.stage.conditions.approvals
    if order.kind is not OrderKind.APPROVE or policy is None:
        return order
    if not order.signature:
        raise Refused(
            f"{rollout.stage.environment} takes approvals only with a signature by one of its listed signers: "
            f"interlock approve {rollout.run} --sign KEY"
        )
    try:
        word = read(order.text)
    except ValueError as error:
        raise Refused(f"what was signed is no approval: {error}") from error
    if why := refusal(word, rollout, policy, ports.clock.now()):
        raise Refused(f"{why}. Sign anew: interlock approve {rollout.run} --sign KEY")
    signer = await _signer(ports, order, policy.signers)
    if policy.not_author and is_author(signer, rollout.by):
        raise Refused(f"{signer} started this release, and somebody else has to approve it")
    on_call = await _on_call(ports, rollout, signer)
    return replace(order, by=signer, word=Proven(signer, word.expires, on_call))


async def _signer(ports: Ports, order: Order, signers: tuple[str, ...]) -> str:
    if ports.signatures is None:
        raise Refused("signatures cannot be checked here")
    try:
        return await ports.signatures.signer(order.text, order.signature, signers, NAMESPACE, _WITHIN)
    except SignatureError as error:
        raise Refused(f"the approval is not proven: {error}") from error


async def _on_call(ports: Ports, rollout: Rollout, signer: str) -> bool:
    """Whether the signer is on call now; nobody is where that cannot be known."""
    declared = rollout.stage.conditions.on_call
    if declared is None or ports.outside is None:
        return False
    try:
        now = await people(ports.outside, declared, ports.clock.now())
    except OnCallError:
        return False
    return any(is_author(signer, name) for person in now for name in (person.name, person.contact) if name)
