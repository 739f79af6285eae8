"""Headrace: the server around lp_core. See docs/architecture.md for the layers."""

__version__ = "0.1.0"
