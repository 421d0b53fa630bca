"""The console door."""

from dashboard.cli.app import main

__all__ = ["main"]
