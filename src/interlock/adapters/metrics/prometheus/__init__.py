"""What does a Prometheus have of each instance of a revision?"""

from interlock.adapters.metrics.prometheus.prometheus import NotUnderstood, PrometheusMetrics

__all__ = ["NotUnderstood", "PrometheusMetrics"]
