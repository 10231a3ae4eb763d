"""How does a Kamal deploy.yml become an interlock.yaml?"""

from interlock.config.kamal.convert import Converted, convert

__all__ = ["Converted", "convert"]
