"""How does this very Interlock get to another machine? As a wheel, made of what runs here.

A wheel is a zip file (PyPA, Binary distribution format): the package, and a directory that says what it is. Made so, a
machine gets what was tried here, be that a release or somebody's working copy; what it depends on comes by pip.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import interlock

_TAG = "py3-none-any"
_LEFT_OUT = {"__pycache__"}


class WheelError(Exception):
    """No wheel can be made of what runs here; the message says why, and what to do."""


def make(directory: Path) -> Path:
    """Write the wheel into a directory; return its path."""
    try:
        installed = distribution("interlock")
    except PackageNotFoundError as missing:
        raise WheelError("this Interlock runs from a source tree: install it first (pip install .), then again") from (
            missing
        )
    metadata, entries = installed.read_text("METADATA"), installed.read_text("entry_points.txt")
    if not metadata:
        raise WheelError("this Interlock was installed without its metadata: install it by pip, then again")
    stem = f"interlock-{installed.version}"
    about = f"Wheel-Version: 1.0\nGenerator: interlock\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
    files = {**_package(), f"{stem}.dist-info/METADATA": metadata.encode(), f"{stem}.dist-info/WHEEL": about.encode()}
    files[f"{stem}.dist-info/entry_points.txt"] = (
        entries or "[console_scripts]\ninterlock = interlock.surfaces.cli:main\n"
    ).encode()
    path = directory / f"{stem}-{_TAG}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in sorted(files.items()):
            wheel.writestr(name, content)
        wheel.writestr(f"{stem}.dist-info/RECORD", _record(files, f"{stem}.dist-info/RECORD"))
    return path


def _package() -> dict[str, bytes]:
    root = Path(interlock.__path__[0])
    paths = (path for path in root.rglob("*") if path.is_file() and not _LEFT_OUT & {*path.parts})
    return {f"interlock/{path.relative_to(root).as_posix()}": path.read_bytes() for path in paths}


def _record(files: dict[str, bytes], own: str) -> str:
    lines = []
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{own},,"]) + "\n"
