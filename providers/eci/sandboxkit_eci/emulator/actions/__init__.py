"""The API's actions, by subject; ``table`` has them by name."""
