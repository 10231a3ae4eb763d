"""Is a mistake in a Dockerfile found before a build begins, and is what a build leaves out known?"""

from __future__ import annotations

import pytest

from interlock.core.dockerfile import check_target, stages
from interlock.core.dockerignore import ignoring


def test_stages_are_known_by_name_or_number() -> None:
    text = (
        "# syntax=docker/dockerfile:1\n\nARG BASE=x\nFROM --platform=$BUILDPLATFORM \\\n  # why\n  $BASE AS Build\n"
        "RUN from nothing\nFROM scratch\nfrom build as last\n"
    )
    assert stages(text) == ("build", "", "last")
    for target in ("", "build", "Build", "last", "0", "2"):
        check_target(target, stages(text))
    for target in ("3", "none"):
        with pytest.raises(ValueError, match="there are: build, last"):
            check_target(target, stages(text))


def test_another_escape_may_be_chosen() -> None:
    assert stages("# escape=`\nFROM `\n scratch AS a\nCOPY x c:\\\nFROM a\n") == ("a", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a FROM, found none"),
        ("# only words\n", "expected a FROM, found none"),
        ("RUN true\nFROM a\n", "expected FROM first"),
        ("FROM\n", "expected FROM IMAGE"),
        ("FROM a b c d\n", "expected FROM IMAGE"),
        ("<html>\n", "expected FROM first"),
    ],
)
def test_what_is_no_dockerfile_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stages(text)


@pytest.mark.parametrize(
    ("pattern", "out", "kept"),
    [
        ("*.md", ["a.md"], ["sub/a.md", "a.mdx"]),
        ("**/*.md", ["a.md", "sub/a.md", "a/b/c.md"], ["a.txt"]),
        ("node_modules", ["node_modules", "node_modules/a/b"], ["sub/node_modules/a", "node_modules2"]),
        ("/dist/", ["dist/a"], ["sub/dist/a"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[ab]x", ["ax", "bx"], ["cx"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs2/a"]),
        ("*\n!keep\n!keep/**", ["a", "b/c"], ["keep", "keep/a"]),
        ("*.md\n!README.md", ["a.md"], ["README.md"]),
        ("!a\na", ["a"], ["b"]),
        ("# a\n\n  b  \n./c/../d", ["b", "d/x"], ["a", "# a", "c"]),
        (".", [], ["a"]),
    ],
)
def test_a_dockerignore_leaves_out_what_docker_leaves_out(pattern: str, out: list[str], kept: list[str]) -> None:
    ignored = ignoring(pattern)
    assert [path for path in out if not ignored(path)] == []
    assert [path for path in kept if ignored(path)] == []
