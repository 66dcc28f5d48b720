"""Planted bugs in restart: L6."""
