"""How are requests of our own sent?"""

from interlock.adapters.load.loopback import LoopbackLoader

__all__ = ["LoopbackLoader"]
