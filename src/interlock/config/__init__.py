"""What does interlock.yaml say?"""

from __future__ import annotations

from interlock.config.document import FileError, Place, Problem
from interlock.config.file import Environment, File
from interlock.config.load import NAME, find, load, schema, starter

__all__ = [
    "NAME",
    "Environment",
    "File",
    "FileError",
    "Place",
    "Problem",
    "find",
    "load",
    "schema",
    "starter",
]
