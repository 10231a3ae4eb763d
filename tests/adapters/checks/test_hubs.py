"""Do GitHub and GitLab say of a commit whether its tests have passed, and is whatever else they say a no?

The real ones cannot run here. A local server answers in the shapes that they document: docs.github.com/rest ("List
check runs for a Git reference", "Get the combined status for a specific reference") and docs.gitlab.com/api/commits
("List the statuses of a commit"), with the fields that matter and some that do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.adapters.served import Reply, Request, Served, served

from interlock.adapters.checks.github import GitHubChecks
from interlock.adapters.checks.gitlab import GitLabChecks
from interlock.core.checks import GitHub, GitLab
from interlock.core.gates import Answer
from interlock.core.release import Artefact, Configuration, Release

TOKEN, COMMIT = "ghp_theTokenItself", "6dcb09b5b57875f334f61aebed695e2e4193db5e"
WITHIN, SOON = timedelta(seconds=10), timedelta(milliseconds=300)
HUBS = ("github", "gitlab")


def release(commit: str = COMMIT) -> Release:
    return Release("shop", "v1", Artefact("sha256:ab", "git 6dcb09b", commit), Configuration(("serve",)), "common")


def run(name: str, conclusion: str | None = "success", status: str = "completed") -> dict[str, Any]:
    return {"id": 4, "name": name, "head_sha": COMMIT, "status": status, "conclusion": conclusion, "app": {"id": 1}}


def status(name: str, state: str = "success") -> dict[str, Any]:
    return {"id": 1, "context": name, "state": state, "description": "", "target_url": "https://ci.example/1"}


def job(name: str, status: str = "success", *, allow_failure: bool = False) -> dict[str, Any]:
    return {"id": 93, "name": name, "status": status, "sha": COMMIT, "ref": "main", "allow_failure": allow_failure}


def page(request: Request, of: Sequence[Any]) -> list[Any]:
    each, number = int(request.query["per_page"]), int(request.query["page"])
    return list(of[each * (number - 1) : each * number])


def hub(runs: list[Any], statuses: Sequence[Any] = ()) -> Callable[[Request], Reply]:
    """Answer as GitHub does about a commit that it knows."""

    def answer(request: Request) -> Reply:
        match request.path:
            case "/repos/acme/shop/commits/6dcb09b5b57875f334f61aebed695e2e4193db5e/check-runs":
                return Reply({"total_count": len(runs), "check_runs": page(request, runs)})
            case "/repos/acme/shop/commits/6dcb09b5b57875f334f61aebed695e2e4193db5e/status":
                found = page(request, statuses)
                return Reply({"state": "pending", "total_count": len(statuses), "sha": COMMIT, "statuses": found})
        return Reply({"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}, 404)

    return answer


def lab(jobs: list[Any]) -> Callable[[Request], Reply]:
    """Answer as GitLab does about a commit that it knows; a project's path comes with its slash escaped."""

    def answer(request: Request) -> Reply:
        if request.path != f"/api/v4/projects/acme%2Fshop/repository/commits/{COMMIT}/statuses":
            return Reply({"message": "404 Project Not Found"}, 404)
        return Reply(page(request, jobs))

    return answer


def both(names: dict[str, str]) -> dict[str, Callable[[Request], Reply]]:
    """The same jobs on both: "" passed, otherwise how they stand in words that both know."""
    runs = [run(name) if not how else run(name, how) for name, how in names.items()]
    return {"github": hub(runs), "gitlab": lab([job(name, how or "success") for name, how in names.items()])}


async def asked(
    kind: str, where: Served, *required: str, commit: str = COMMIT, within: timedelta = WITHIN, token: str = "print"
) -> Answer:
    if kind == "github":
        hubs = GitHubChecks(lambda name: {"print": TOKEN}[name])
        return await hubs.passed(GitHub("acme/shop", where.url, token, required), release(commit), within)
    labs = GitLabChecks(lambda name: {"print": TOKEN}[name])
    return await labs.passed(GitLab("acme/shop", where.url, token, required), release(commit), within)


@pytest.mark.parametrize("kind", HUBS)
async def test_a_commit_whose_checks_have_all_passed_is_let_through(kind: str) -> None:
    async with served(both({"build": "", "test": ""})[kind]) as where:
        answer = await asked(kind, where)
        assert answer.open and answer.reason.endswith("at 6dcb09b: 2 checks passed"), answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_one_that_failed_is_named(kind: str) -> None:
    how = "failure" if kind == "github" else "failed"
    async with served(both({"build": "", "test": how})[kind]) as where:
        answer = await asked(kind, where)
        assert not answer.open and f"test ({how})" in answer.reason and "build" not in answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_where_some_are_required_only_they_count(kind: str) -> None:
    async with served(both({"build": "", "lint": "failure"})[kind]) as where:
        assert (await asked(kind, where, "build")).open
        assert not (await asked(kind, where, "build", "lint")).open


@pytest.mark.parametrize("kind", HUBS)
async def test_one_that_is_required_and_not_there_is_a_no(kind: str) -> None:
    async with served(both({"build": ""})[kind]) as where:
        answer = await asked(kind, where, "build", "security")
        assert not answer.open and "security is not there" in answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_no_checks_at_all_are_no_success(kind: str) -> None:
    async with served(both({})[kind]) as where:
        answer = await asked(kind, where)
        assert not answer.open and "there are no checks" in answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_a_bad_one_on_the_second_page_is_seen(kind: str) -> None:
    many = {f"job {number}": "" for number in range(100)}
    async with served(both({**many, "last": "failure"})[kind]) as where:
        answer = await asked(kind, where)
        assert not answer.open and "last (failure)" in answer.reason
    async with served(both({**many, "last": ""})[kind]) as where:
        assert "101 checks passed" in (await asked(kind, where)).reason


@pytest.mark.parametrize("kind", HUBS)
async def test_pages_without_end_are_a_no(kind: str) -> None:
    async with served(both({f"job {number}": "" for number in range(1000)})[kind]) as where:
        answer = await asked(kind, where)
        assert not answer.open and "more than 1000" in answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_of_several_of_one_name_the_worst_counts(kind: str) -> None:
    twice = {"github": hub([run("test", "failure"), run("test")]), "gitlab": lab([job("test", "failed"), job("test")])}
    async with served(twice[kind]) as where:
        assert not (await asked(kind, where)).open


@pytest.mark.parametrize("kind", HUBS)
async def test_the_token_is_sent_as_documented_and_stands_in_no_error(kind: str) -> None:
    header = {"github": ("authorization", f"Bearer {TOKEN}"), "gitlab": ("private-token", TOKEN)}[kind]
    answers = [Reply({"message": f"bad credentials {TOKEN}"}, 401), Reply(f"<html>{TOKEN}".encode()), Reply(hangs=True)]
    for reply in answers:
        async with served(lambda _, reply=reply: reply) as where:  # type: ignore[misc]
            answer = await asked(kind, where, within=SOON)
            assert not answer.open and TOKEN not in answer.reason
            assert where.asked[0].headers[header[0]] == header[1]
    async with served(lambda _: Reply({}, 401)) as where:
        assert "is the token right" in (await asked(kind, where)).reason
        await asked(kind, where, token="")
        assert header[0] not in where.asked[-1].headers


@pytest.mark.parametrize("kind", HUBS)
async def test_a_commit_or_a_project_that_is_not_known_is_a_no_with_advice(kind: str) -> None:
    async with served(both({"build": ""})[kind]) as where:
        answer = await asked(kind, where, commit="f" * 40)
        assert not answer.open and "answered 404: is fffffff pushed" in answer.reason


@pytest.mark.parametrize("kind", HUBS)
@pytest.mark.parametrize(
    "said", [b"rubbish", [1, 2], {}, None, "text", {"check_runs": 7}, {"check_runs": [{}]}, [{"name": ["a"]}], 5]
)
async def test_rubbish_is_a_no(kind: str, said: Any) -> None:
    async with served(lambda _: Reply(said)) as where:
        answer = await asked(kind, where)
        assert not answer.open and answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_one_who_hangs_is_waited_for_no_longer_than_said(kind: str) -> None:
    async with served(lambda _: Reply(hangs=True)) as where:
        began = time.monotonic()
        answer = await asked(kind, where, within=SOON)
        assert not answer.open and "no complete answer within 0.3 s" in answer.reason
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", HUBS)
async def test_one_who_is_not_there_is_a_no(kind: str) -> None:
    async with served(lambda _: Reply()) as where:
        pass
    answer = await asked(kind, where)
    assert not answer.open and "cannot be reached" in answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_a_redirect_is_not_followed_with_the_token(kind: str) -> None:
    async with served(lambda _: Reply({}, 302, headers=(("Location", "http://127.0.0.1:1/x"),))) as where:
        answer = await asked(kind, where)
        assert not answer.open and "302" in answer.reason


@pytest.mark.parametrize("kind", HUBS)
async def test_a_release_made_from_no_commit_is_a_no_for_good(kind: str) -> None:
    async with served(lambda _: Reply()) as where:
        answer = await asked(kind, where, commit="")
        assert not answer.open and answer.final and "from no commit" in answer.reason
        assert where.asked == []


@pytest.mark.parametrize("kind", HUBS)
async def test_a_token_that_is_not_kept_is_a_no(kind: str) -> None:
    def gone(name: str) -> str:
        raise FileNotFoundError(name)

    async with served(lambda _: Reply()) as where:
        github, gitlab = GitHub("acme/shop", where.url, "print"), GitLab("acme/shop", where.url, "print")
        if kind == "github":
            answer = await GitHubChecks(gone).passed(github, release(), WITHIN)
        else:
            answer = await GitLabChecks(gone).passed(gitlab, release(), WITHIN)
        assert not answer.open and "its token is not kept here" in answer.reason


@pytest.mark.parametrize(
    ("one", "open"),
    [
        (run("a", "neutral"), True),
        (run("a", "skipped"), True),
        (run("a", "cancelled"), False),
        (run("a", "timed_out"), False),
        (run("a", "action_required"), False),
        (run("a", None, "in_progress"), False),
        (run("a", None, "queued"), False),
    ],
)
async def test_a_check_of_github_has_passed_only_by_a_good_conclusion(one: dict[str, Any], open: bool) -> None:
    async with served(hub([one])) as where:
        answer = await asked("github", where)
        assert answer.open is open, answer.reason
        assert "in progress" in answer.reason or one["status"] != "in_progress"


@pytest.mark.parametrize(
    ("state", "open"), [("success", True), ("pending", False), ("failure", False), ("error", False)]
)
async def test_a_commit_status_of_github_counts_beside_its_checks(state: str, open: bool) -> None:
    async with served(hub([run("build")], [status("jenkins", state)])) as where:
        assert (await asked("github", where)).open is open
        assert (await asked("github", where, "jenkins")).open is open


async def test_a_check_that_failed_is_not_outdone_by_a_status_of_its_name() -> None:
    async with served(hub([run("test", "failure")], [status("test")])) as where:
        assert not (await asked("github", where)).open


async def test_github_is_asked_in_the_version_that_was_read() -> None:
    async with served(hub([run("test")])) as where:
        await asked("github", where)
        for request in where.asked:
            assert request.headers["accept"] == "application/vnd.github+json"
            assert request.headers["x-github-api-version"] == "2022-11-28"
            assert request.query["filter"] == "latest"


@pytest.mark.parametrize(
    ("one", "open"),
    [
        (job("a", "running"), False),
        (job("a", "pending"), False),
        (job("a", "created"), False),
        (job("a", "canceled"), False),
        (job("a", "skipped"), True),
        (job("a", "manual", allow_failure=True), True),
        (job("a", "failed", allow_failure=True), True),
    ],
)
async def test_a_job_of_gitlab_has_passed_or_may_fail(one: dict[str, Any], open: bool) -> None:
    async with served(lab([one])) as where:
        assert (await asked("gitlab", where)).open is open
