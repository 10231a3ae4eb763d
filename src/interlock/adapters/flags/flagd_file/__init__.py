"""The port `Flags` for a file in flagd's JSON format, which OpenFeature's flagd providers evaluate."""

from interlock.adapters.flags.flagd_file.files import FlagFiles

__all__ = ["FlagFiles"]
