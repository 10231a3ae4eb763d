"""How are people told by libraries that block, and may hang? Each message in a process of its own."""

from interlock.adapters.notify.library.apprise import AppriseOutlet
from interlock.adapters.notify.library.mail import MailOutlet, Server

__all__ = ["AppriseOutlet", "MailOutlet", "Server"]
