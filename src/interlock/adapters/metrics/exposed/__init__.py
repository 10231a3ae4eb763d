"""What do the instances themselves count, as each shows it in Prometheus' text format?"""

from interlock.adapters.metrics.exposed.exposed import ExposedMetrics
from interlock.adapters.metrics.exposed.page import Page, Unseen

__all__ = ["ExposedMetrics", "Page", "Unseen"]
