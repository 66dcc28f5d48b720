"""A provider with the poorest channel that the protocol allows, so that nothing better is ever taken for granted."""
