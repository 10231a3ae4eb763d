"""Does a file with an image make a plan whose every stage releases the one digest, and is it verified before that?"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.adapters.registry.registries import CONFIG, Docked, registry

from interlock.app.check import check
from interlock.app.planner import NONE, Planner
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.config import load
from interlock.core.account import Account
from interlock.core.image import image_of
from interlock.core.manifest import OCI_MANIFEST
from interlock.core.plan import Plan
from interlock.core.record import plain, restore
from interlock.core.report import deployment_report
from interlock.core.rollout import begin
from interlock.core.steps import Gate, GateName
from interlock.ports.images import ImageError

PROJECT = """\
service: shop
image: {{name: "{host}/t/{name}"{more}}}
environments:
  staging: {{port: 18001}}
  production: {{port: 18000}}
"""


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


class Project:
    """A project whose image is in the registry already, with the tag 1.0."""

    def __init__(self, place: Path, docked: Docked, more: str = "") -> None:
        self.place, self.docked = place, docked
        self.image = docked.image(f"t/{place.name.lower()}"[:40].rstrip("-_."), "1.0")
        self.digest = docked.small(self.image, {"org.opencontainers.image.revision": "c" * 40})
        name = self.image.repository.removeprefix("t/")
        (place / "interlock.yaml").write_text(PROJECT.format(host=docked.host, name=name, more=more))
        self.state, self.file = StateDirectory(place / "state"), load(place / "interlock.yaml")

    async def plan(self, version: str) -> Plan:
        plan = await Planner(self.state, self.file).plan(version, first=True)
        assert isinstance(plan, Plan)
        return plan

    def sign(self, key: ec.EllipticCurvePrivateKey, place: str = "cosign.pub") -> None:
        """Attach a signature to the image as cosign does, and write the key."""
        image = {"docker-manifest-digest": self.digest}
        payload = json.dumps({"critical": {"image": image, "type": "cosign container image signature"}}).encode()
        signature = base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
        kind = "application/vnd.dev.cosign.simplesigning.v1+json"
        layer = self.docked.blob(self.image, payload, kind)
        layer["annotations"] = {"dev.cosignproject.cosign/signature": signature}
        config = self.docked.blob(self.image, b"{}", CONFIG)
        made = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
        self.docked.put(replace(self.image, tag=f"{self.digest.replace(':', '-')}.sig"), made)

    def write_key(self, key: ec.EllipticCurvePrivateKey) -> None:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        (self.place / "cosign.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


async def test_every_stage_releases_the_digest_that_the_tag_named_when_it_was_planned(
    tmp_path: Path, docked: Docked
) -> None:
    project = Project(tmp_path, docked)
    plan = await project.plan("1.0")
    releases = [stage.revision.release for stage in plan.stages]
    assert {release.artefact.digest for release in releases} == {project.digest}
    assert {str(image_of(release.artefact)) for release in releases} == {str(project.image.at(project.digest))}
    assert {release.artefact.commit for release in releases} == {"c" * 40}
    assert (plan.version, len({release.proven_as for release in releases})) == ("1.0", 1)
    assert restore(Plan, plain(plan)) == plan
    docked.small(project.image, {"another": "one"})
    again = await project.plan(str(project.image.at(project.digest)))
    assert again.stages[0].revision.release.artefact.digest == project.digest
    assert (await project.plan("1.0")).stages[0].revision.release.identity != releases[0].identity


async def test_a_version_is_called_by_its_tag_or_by_its_digest(tmp_path: Path, docked: Docked) -> None:
    project = Project(tmp_path, docked)
    assert (await project.plan(f"{project.image}")).version == "1.0"
    assert (await project.plan(f"{project.image.name}@{project.digest}")).version == project.digest[7:19]
    assert (await project.plan(project.digest)).version == project.digest[7:19]


async def test_what_the_registry_does_not_have_is_not_planned(tmp_path: Path, docked: Docked) -> None:
    with pytest.raises(ImageError, match="no such git ref, directory, or tag"):
        await Project(tmp_path, docked).plan("2.0")


VERIFIED = ", verify: {keys: [cosign.pub]}"


async def test_an_image_is_verified_before_anything_starts_in_each_environment(tmp_path: Path, docked: Docked) -> None:
    project, key = Project(tmp_path, docked, VERIFIED), ec.generate_private_key(ec.SECP256R1())
    project.write_key(key)
    plan = await project.plan("1.0")
    for stage in plan.stages:
        asked = [step.name for step in stage.steps if isinstance(step, Gate)]
        assert GateName.IMAGE in asked
        assert stage.conditions.image is not None and "PUBLIC KEY" in stage.conditions.image.keys[0]
    assert await answers(project) == {False}, "nobody has signed it"
    project.sign(ec.generate_private_key(ec.SECP256R1()))
    assert await answers(project) == {False}, "somebody else has signed it"
    project.sign(key)
    assert await answers(project) == {True}


async def answers(project: Project) -> set[bool]:
    found = [one async for one in check(project.state, project.file, "1.0", NONE)]
    mine = [one for one in found if one.gate is GateName.IMAGE]
    assert [one.environment for one in mine] == ["staging", "production"] and all(one.asked for one in mine)
    assert all(project.digest in one.answer.reason for one in mine)
    return {one.answer.open for one in mine}


async def test_without_a_version_it_is_said_that_one_is_needed(tmp_path: Path, docked: Docked) -> None:
    project = Project(tmp_path, docked, VERIFIED)
    found = [one async for one in check(project.state, project.file, None, NONE) if one.gate is GateName.IMAGE]
    assert found and not any(one.asked for one in found)


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), ("-----BEGIN PRIVATE KEY-----", "no public")])
async def test_a_key_that_cannot_be_used_blocks_the_plan(
    tmp_path: Path, docked: Docked, content: str | None, said: str
) -> None:
    project = Project(tmp_path, docked, VERIFIED)
    if content is not None:
        (tmp_path / "cosign.pub").write_text(content)
    with pytest.raises(Blocked, match=said):
        await project.plan("1.0")


async def test_a_password_for_the_gate_is_in_no_record(
    tmp_path: Path, docked: Docked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "pa55-of-the-registry")
    access = ", registry: {user: ci, password: env:REGISTRY_PASSWORD}"
    project, key = Project(tmp_path, docked, VERIFIED + access), ec.generate_private_key(ec.SECP256R1())
    project.write_key(key)
    project.sign(key)
    plan = await project.plan("1.0")
    image = plan.stages[0].conditions.image
    assert image is not None and image.access.user == "ci"
    assert (project.state.secrets / image.access.password_secret).read_text() == "pa55-of-the-registry"
    assert "pa55" not in json.dumps(plain(plan))
    assert await answers(project) == {True}


async def test_the_report_links_the_log_of_the_build(tmp_path: Path, docked: Docked) -> None:
    project = Project(tmp_path, docked)
    project.state.builds.mkdir(parents=True)
    log = project.state.builds / "1.0.20260101T000000.x.log"
    log.write_text("STEP 1/1")
    plan = await project.plan("1.0")
    assert plan.stages[0].revision.release.artefact.log == str(log)
    now = datetime.now(UTC)
    account = Account.of(begin("shop-1-staging", "shop-1", plan.hash, plan.stages[0], now), (), None)
    assert f"; build log: {log}" in deployment_report(plan, (account,), now)
