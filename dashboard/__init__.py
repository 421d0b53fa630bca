"""Dingshi (定时): scheduled tasks on one's own machine."""

__version__ = "0.1.0"
