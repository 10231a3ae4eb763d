"""How does a deployment enter itself in a git repository, though people work in it?"""

from interlock.adapters.docs.repository.log import RepositoryDocs

__all__ = ["RepositoryDocs"]
