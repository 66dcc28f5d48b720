"""Planted bugs: each must turn the tests of its promise red. ``python -m tests.mutations`` plants them one by one."""
