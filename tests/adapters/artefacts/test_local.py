"""Does the same content always become the same artefact, and everything that cannot be packed a clear error?"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.adapters.artefacts.local import Directory
from interlock.adapters.artefacts.local.pattern import chooser
from interlock.core.release import Artefact
from interlock.core.source import Source
from interlock.ports.artefacts import ArtefactError, Artefacts

DAY = timedelta(days=1)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    write(project, {"app.py": "print(1)\n", "lib/a.py": "a = 1\n", "interlock.yaml": "service: shop\n"})
    (project / "run").write_text("#!/bin/sh\n")
    (project / "run").chmod(0o755)
    return project


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "store")


def write(top: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)


def source(project: Path, directory: str = ".", build: tuple[str, ...] = (), **more: tuple[str, ...]) -> Source:
    return Source(str(project), directory, str(project), build, timedelta(seconds=30), **more)


def git(project: Path, *arguments: str) -> str:
    argv = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-C", str(project), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def commit(project: Path, message: str = "one") -> str:
    if not (project / ".git").exists():
        git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", message)
    return git(project, "rev-parse", "--short", "HEAD")


def content(store: Directory, artefact: Artefact) -> dict[str, str]:
    top = store.path(artefact)
    return {str(p.relative_to(top)): p.read_text() for p in sorted(top.rglob("*")) if p.is_file()}


async def refusal(store: Directory, source: Source, version: str) -> str:
    with pytest.raises(ArtefactError) as raised:
        await store.pack(source, version)
    assert not [path.name for path in store.root.glob("[!.]*")], "nothing is kept of what is refused"
    assert not list(store.root.glob(".packing-*"))
    return str(raised.value)


def test_it_is_the_port(store: Directory) -> None:
    port: Artefacts = store
    assert port.path(Artefact("sha256:" + "a" * 64, "")).name == "a" * 64


# Directories


async def test_a_directory_is_packed_without_the_file_that_describes_it(project: Path, store: Directory) -> None:
    artefact = await store.pack(source(project), ".")
    assert content(store, artefact) == {"app.py": "print(1)\n", "lib/a.py": "a = 1\n", "run": "#!/bin/sh\n"}
    assert artefact.source == "directory ."
    assert store.path(artefact) == store.root / artefact.digest.removeprefix("sha256:")
    assert await store.has(artefact)


async def test_packed_files_are_read_only_and_keep_whether_they_are_executable(project: Path, store: Directory) -> None:
    place = store.path(await store.pack(source(project), "."))
    modes = {path.name: path.stat().st_mode & 0o777 for path in place.rglob("*") if path.is_file()}
    assert modes == {"app.py": 0o444, "a.py": 0o444, "run": 0o555}


async def test_the_digest_names_paths_modes_links_and_contents_and_nothing_else(
    project: Path, store: Directory
) -> None:
    seen = [(await store.pack(source(project), ".")).digest]
    os.utime(project / "app.py", (1, 1))
    (project / "empty").mkdir()
    (project / "app.py").chmod(0o600)
    write(project, {"interlock.yaml": "service: other\n"})
    assert (await store.pack(source(project), ".")).digest == seen[0]
    (project / "app.py").chmod(0o755)
    seen.append((await store.pack(source(project), ".")).digest)
    write(project, {"app.py": "print(2)\n"})
    seen.append((await store.pack(source(project), ".")).digest)
    (project / "app.py").rename(project / "main.py")
    seen.append((await store.pack(source(project), ".")).digest)
    (project / "link").symlink_to("main.py")
    seen.append((await store.pack(source(project), ".")).digest)
    (project / "link").unlink()
    (project / "link").symlink_to("lib/a.py")
    seen.append((await store.pack(source(project), ".")).digest)
    assert len(set(seen)) == len(seen)


async def test_a_version_with_a_slash_is_a_directory_seen_from_the_project(project: Path, store: Directory) -> None:
    write(project, {"v2/app.py": "print(2)\n"})
    relative, absolute = await store.pack(source(project), "./v2"), await store.pack(source(project), f"{project}/v2")
    assert relative.digest == absolute.digest
    assert relative.source == "directory ./v2"
    assert content(store, relative) == {"app.py": "print(2)\n"}


async def test_the_source_may_be_a_part_of_the_project(project: Path, store: Directory) -> None:
    artefact = await store.pack(source(project, "lib"), ".")
    assert content(store, artefact) == {"a.py": "a = 1\n"}
    assert "is not a directory" in await refusal(Directory(store.root.with_name("other")), source(project, "no"), ".")


async def test_include_and_exclude_choose_what_is_packed(project: Path, store: Directory) -> None:
    artefact = await store.pack(source(project, include=("*.py", "run"), exclude=("lib/",)), ".")
    assert set(content(store, artefact)) == {"app.py", "run"}
    assert "there are no files to pack" in await refusal(
        Directory(store.root.with_name("other")), source(project, include=("*.js",)), "."
    )


async def test_the_store_and_the_state_around_it_are_never_packed(project: Path) -> None:
    write(project, {"state/db": "x"})
    store = Directory(project / "state" / "artefacts", beside=[project / "state"])
    for _ in range(2):
        artefact = await store.pack(source(project), ".")
        assert set(content(store, artefact)) == {"app.py", "lib/a.py", "run"}


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "lib/../../outside", "loop"])
async def test_a_link_that_leads_out_is_refused(project: Path, store: Directory, target: str) -> None:
    (project / "loop").symlink_to(target)
    assert "loop is a link" in await refusal(store, source(project), ".")


async def test_a_link_inside_stays_a_link(project: Path, store: Directory) -> None:
    (project / "lib" / "up").symlink_to("../app.py")
    (project / "all").symlink_to("lib", target_is_directory=True)
    place = store.path(await store.pack(source(project), "."))
    assert str((place / "all").readlink()) == "lib"
    assert (place / "all" / "up").read_text() == "print(1)\n"


async def test_what_is_no_file_is_refused(project: Path, store: Directory) -> None:
    os.mkfifo(project / "pipe")
    assert "pipe is neither a file, a directory nor a link" in await refusal(store, source(project), ".")


async def test_names_that_are_no_utf8_are_packed(project: Path, store: Directory) -> None:
    (project / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    place = store.path(await store.pack(source(project), "."))
    assert b"caf\xe9.txt" in [os.fsencode(path.name) for path in place.iterdir()]


async def test_packing_twice_at_once_leaves_one_directory(project: Path, store: Directory) -> None:
    packed = await asyncio.gather(*(store.pack(source(project), ".") for _ in range(8)))
    assert len({artefact.digest for artefact in packed}) == 1
    assert [path.name for path in store.root.iterdir() if path.is_dir()] == [store.path(packed[0]).name]


async def test_a_thousand_files_are_packed_quickly(project: Path, store: Directory) -> None:
    write(project, {f"many/{n % 20}/{n}.txt": f"{n}\n" * 100 for n in range(1000)})
    async with asyncio.timeout(20):
        artefact = await store.pack(source(project), ".")
    assert len(content(store, artefact)) == 1003


# Git


async def test_of_a_checkout_what_git_would_take_is_packed(project: Path, store: Directory) -> None:
    write(project, {".gitignore": "*.log\nsecret\n"})
    commit(project)
    write(project, {"new.py": "new\n", "x.log": "no\n", "secret": "no\n", "app.py": "print('changed')\n"})
    (project / "lib" / "a.py").unlink()
    assert content(store, await store.pack(source(project), ".")) == {
        ".gitignore": "*.log\nsecret\n",
        "app.py": "print('changed')\n",
        "new.py": "new\n",
        "run": "#!/bin/sh\n",
    }


async def test_a_directory_that_git_ignores_is_packed_whole_when_it_is_named(project: Path, store: Directory) -> None:
    write(project, {".gitignore": "dist/\n", "dist/app.js": "1\n"})
    commit(project)
    assert content(store, await store.pack(source(project, "dist"), ".")) == {"app.js": "1\n"}
    assert content(store, await store.pack(source(project), "./dist")) == {"app.js": "1\n"}


async def test_a_checkout_inside_the_checkout_is_packed_as_git_would(project: Path, store: Directory) -> None:
    write(project / "part", {"b.py": "b\n", "b.log": "no\n", ".gitignore": "*.log\n"})
    commit(project / "part")
    commit(project)
    assert "part/b.py" in (packed := content(store, await store.pack(source(project), ".")))
    assert "part/b.log" not in packed and "part/.git" not in packed
    assert "part is a submodule" in await refusal(Directory(store.root.with_name("other")), source(project), "main")
    assert await store.pack(source(project, exclude=("part",)), "main")


async def test_a_git_ref_is_exactly_that_commit(project: Path, store: Directory) -> None:
    first = commit(project)
    git(project, "tag", "v1")
    write(project, {"app.py": "print(2)\n"})
    commit(project, "two")
    git(project, "switch", "-q", "-c", "feature/x")
    write(project, {"app.py": "print('not committed')\n"})
    for version in ("v1", first, "main~1"):
        artefact = await store.pack(source(project), version)
        assert artefact.source == f"git {first}"
        assert content(store, artefact)["app.py"] == "print(1)\n"
    assert content(store, await store.pack(source(project), "feature/x"))["app.py"] == "print(2)\n"


async def test_a_clean_checkout_and_its_commit_are_the_same_artefact(project: Path, store: Directory) -> None:
    (project / "link").symlink_to("./lib/a.py")
    commit(project)
    assert (await store.pack(source(project), ".")).digest == (await store.pack(source(project), "HEAD")).digest


async def test_a_project_may_lie_below_the_top_of_its_repository(project: Path, store: Directory) -> None:
    inner = project / "services" / "shop"
    write(inner, {"main.py": "m\n", "web/index.html": "<p>\n"})
    commit(project)
    assert content(store, await store.pack(source(inner), "main")) == {"main.py": "m\n", "web/index.html": "<p>\n"}
    assert content(store, await store.pack(source(inner, "web"), "main")) == {"index.html": "<p>\n"}
    assert "there is no directory services/shop/no in the commit" in await refusal(
        Directory(store.root.with_name("other")), source(inner, "no"), "main"
    )


async def test_a_ref_comes_before_a_directory_of_that_name_and_a_slash_decides(project: Path, store: Directory) -> None:
    write(project, {"v2/app.py": "directory\n"})
    assert (await store.pack(source(project), "v2")).source == "directory v2"
    commit(project)
    git(project, "tag", "v2")
    assert (await store.pack(source(project), "v2")).source.startswith("git ")
    assert (await store.pack(source(project), "./v2")).source == "directory ./v2"


async def test_git_variables_of_a_hook_do_not_mislead(
    project: Path, store: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(project)
    write(tmp_path / "other", {"other.py": "o\n"})
    commit(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert "app.py" in content(store, await store.pack(source(project), "main"))


@pytest.mark.parametrize("version", ["v9", "feature/none", "--output=x", "./none", "main:app.py"])
async def test_a_version_that_is_nothing_is_one_clear_error(project: Path, store: Directory, version: str) -> None:
    commit(project)
    expected = f'no such git ref, directory or digest: "{version}" (looked in {project})'
    assert await refusal(store, source(project), version) == expected


async def test_without_a_repository_a_version_that_is_nothing_is_the_same_error(
    project: Path, store: Directory
) -> None:
    assert "no such git ref, directory or digest" in await refusal(store, source(project), "v9")
    assert "this one is empty" in await refusal(store, source(project), "")


async def test_a_checkout_that_git_cannot_read_is_refused_rather_than_packed_whole(
    project: Path, store: Directory
) -> None:
    (project / ".git").write_text("gitdir: nowhere\n")
    assert "is in a git checkout that git cannot read" in await refusal(store, source(project), ".")


# Digests


async def test_a_digest_names_what_was_packed_before(project: Path, store: Directory) -> None:
    commit(project)
    artefact = await store.pack(source(project), "main")
    assert await store.pack(source(project), artefact.digest) == artefact
    assert await store.pack(source(project), artefact.digest[: len("sha256:") + 12]) == artefact


@pytest.mark.parametrize("version", ["sha256:" + "0" * 64, "sha256:123", "sha256:zz"])
async def test_an_unknown_digest_is_an_error(project: Path, store: Directory, version: str) -> None:
    assert f"no artefact is kept here with the digest {version}" in await refusal(store, source(project), version)


# Builds


def python(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", code


async def test_what_a_build_leaves_behind_is_packed_and_the_project_stays_as_it_was(
    project: Path, store: Directory
) -> None:
    write(project, {".gitignore": "out/\n"})
    commit(project)
    built = python("import os; os.mkdir('out'); open('out/x', 'w').write(open('app.py').read() * 2)")
    for version in (".", "main"):
        artefact = await store.pack(source(project, build=built, exclude=("lib", ".gitignore")), version)
        assert content(store, artefact) == {
            "app.py": "print(1)\n",
            "out/x": "print(1)\n" * 2,
            "run": "#!/bin/sh\n",
        }
    assert not (project / "out").exists()


async def test_a_failed_build_shows_the_end_of_its_log_and_where_it_is(project: Path, store: Directory) -> None:
    built = python("for n in range(50): print('line', n, flush=True)\nraise SystemExit(3)")
    error = await refusal(store, source(project, build=built), ".")
    assert "ended with status 3; nothing was packed" in error
    assert error.splitlines()[1:] == [f"  line {n}" for n in range(30, 50)]
    log = Path(error.splitlines()[0].partition("Log: ")[2])
    assert log.read_text().startswith("line 0\n")


async def test_a_build_that_does_not_start_or_does_not_end_is_an_error(project: Path, store: Directory) -> None:
    error = await refusal(store, source(project, build=("no-such-program",)), ".")
    assert "the build no-such-program does not start: " in error
    slow = Source(str(project), build=python("import time; time.sleep(600)"), build_within=timedelta(seconds=1))
    assert "took longer than 1 s (build_within)" in await refusal(store, slow, ".")


async def test_a_cancelled_build_leaves_no_process_behind(project: Path, store: Directory, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; f = open({str(pid)!r}, 'w'); f.write(str(os.getpid())); f.close(); time.sleep(600)"
    task = asyncio.create_task(store.pack(source(project, build=python(code)), "."))
    async with asyncio.timeout(30):
        while not pid.exists() or not pid.read_text():
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not list(store.root.glob(".packing-*"))


async def test_a_file_that_a_build_shares_with_its_cache_is_packed_as_a_copy(
    project: Path, store: Directory, tmp_path: Path
) -> None:
    write(tmp_path, {"cache": "shared\n"})
    built = python(f"import os; os.link({str(tmp_path / 'cache')!r}, 'linked')")
    artefact = await store.pack(source(project, build=built), ".")
    (tmp_path / "cache").write_text("changed\n")
    assert content(store, artefact)["linked"] == "shared\n"
    assert (tmp_path / "cache").stat().st_mode & 0o200


# Forgetting


async def test_a_removed_artefact_is_gone_and_removing_it_again_does_nothing(project: Path, store: Directory) -> None:
    artefact = await store.pack(source(project), ".")
    for _ in range(2):
        await store.remove(artefact)
        assert not await store.has(artefact)
    assert list(store.root.iterdir()) == []


async def test_pruning_forgets_what_is_old_and_not_kept(project: Path, store: Directory) -> None:
    packed = []
    for n in range(4):
        write(project, {"app.py": f"print({n})\n"})
        packed.append(await store.pack(source(project), "."))
    kept, old, new, again = packed
    for artefact in (kept, old, again):
        os.utime(store.path(artefact), (1, 1))
    (store.root / ".packing-left").mkdir()
    os.utime(store.root / ".packing-left", (1, 1))
    await store.pack(source(project), ".")
    assert await store.prune({kept.digest}, DAY) == (old.digest,)
    assert [await store.has(artefact) for artefact in packed] == [True, False, True, True]
    assert not (store.root / ".packing-left").exists()
    assert await store.prune((), timedelta(0)) == tuple(sorted(a.digest for a in (kept, new, again)))


async def test_pruning_a_store_that_was_never_used_does_nothing(store: Directory) -> None:
    assert await store.prune((), timedelta(0)) == ()


async def test_a_directory_that_cannot_be_written_is_one_clear_error(project: Path, tmp_path: Path) -> None:
    write(tmp_path, {"file": "not a directory"})
    with pytest.raises(ArtefactError, match=r"artefacts are kept in .*file/store"):
        await Directory(tmp_path / "file" / "store").pack(source(project), ".")


# Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "a/b.py", True),
        ("*.md", "a/b/c.md", True),
        ("*.md", "a.md/b", True),
        ("/*.md", "a/c.md", False),
        ("/*.md", "c.md", True),
        ("docs/", "docs/a", True),
        ("docs/", "x/docs/a", True),
        ("docs/", "docs", False),
        ("docs", "docs", True),
        ("docs", "mydocs/a", False),
        ("a/*/c", "a/b/c", True),
        ("a/*/c", "a/b/b/c", False),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("a/**", "a/b/c", True),
        ("a/b", "x/a/b", False),
        ("**/b", "x/a/b", True),
        ("?.py", "a.py", True),
        ("?.py", "ab.py", False),
        ("[ab].py", "a.py", True),
        ("[!ab].py", "a.py", False),
        ("[!ab].py", "c.py", True),
        ("a+(b).py", "a+(b).py", True),
    ],
)
def test_patterns_mean_what_they_mean_in_gitignore(pattern: str, path: str, matches: bool) -> None:
    assert chooser([pattern], [])(path) is matches
    assert chooser([], [pattern])(path) is not matches
