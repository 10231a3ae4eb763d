"""What do Kamal's image, builder and container settings become?"""

from __future__ import annotations

from interlock.config.kamal.made import Settings

_BUILT_WITH = "Interlock builds with the docker, podman or buildah that is there (`interlock build`)"


def image(made: Settings) -> None:
    """Say which image is released, and how it is built."""
    made.remark("image", why="x")
    made.remark("registry", why="log in with `docker login` (or podman's) where images are built and pulled")
    made.remark("builder", why=_BUILT_WITH)
    made.remark("retain_containers", why="what the last five proven releases need is kept")


def container(made: Settings) -> None:
    """Say what a container is told besides."""
