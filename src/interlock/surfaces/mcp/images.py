"""How does an agent have an image built, and what does it hear of that?"""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import Field

from interlock.app.agents import Build
from interlock.surfaces.mcp.call import Call, Change
from interlock.surfaces.mcp.quoted import Quoted, quote

TELL_EVERY = 1.0


class Built(Change):
    """What was built and pushed."""

    image: str = Field("", description="the whole name with tag and digest: this is what to release")
    digest: str = Field("", description="as the registry has it; empty for what was not pushed")
    log: str = Field("", description="the file of the log, on the machine of the server")
    found: bool = Field(False, description="the registry had it already, and nothing was built")
    last: Quoted | None = Field(None, description="what the build said last")

    def said(self) -> str:
        if self.outcome == "dry_run":
            return f"{self.image} would be built and pushed"
        how = "was in the registry already" if self.found else "is built and pushed" if self.digest else "is built"
        return f"{self.image} {how}. log: {self.log or 'none'}. next: plan_deployment"


async def docker_build_push(
    call: Call,
    image: Annotated[str, Field(min_length=1, max_length=300, description="registry/repository")],
    tag: Annotated[str, Field(max_length=128, description="a tag besides the one that names commit and files")] = "",
    context: Annotated[str, Field(max_length=300, description="a directory of the project")] = ".",
    dockerfile: Annotated[
        str, Field(max_length=300, description="a path in it; empty: Dockerfile or as the file says")
    ] = "",
    build_args: Annotated[
        dict[str, str] | None, Field(description="build arguments; never secrets: they stay readable")
    ] = None,
    platforms: Annotated[list[str] | None, Field(max_length=8, description="such as linux/amd64")] = None,
    push: Annotated[bool, Field(description="push it; only then has it a digest")] = True,
) -> Built:
    """Build an image of the project and push it; returns its digest as the registry has it. Progress is told.

    The same files and settings are not built twice.
    """
    lines: list[str] = []
    wanted = Build(image, tag, context, dockerfile, build_args or {}, platforms or (), push)
    building = asyncio.ensure_future(call.desk.build(wanted, lines.append))
    try:
        told = 0
        while not building.done():
            await asyncio.wait({building}, timeout=TELL_EVERY)
            for line in lines[told:][-5:]:
                told = len(lines)
                await call.progress(float(told), None, line)
        done = building.result()
    finally:
        building.cancel()
    if done is None:
        return Built(outcome="dry_run", image=image)
    last = quote(lines[-1], "the build") if lines else None
    return Built(image=done.image, digest=done.digest, log=done.log, found=done.found, last=last)
