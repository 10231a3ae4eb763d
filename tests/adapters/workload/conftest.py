"""The engines of tests that run containers, and a registry."""

from __future__ import annotations

from tests.engines import harbour

__all__ = ["harbour"]
