"""How fast sandboxkit is, as ratios to what does the same with nothing to spare; see ``__main__``."""
