"""Analysis: landscapes from trials, statistics on them, and the figures that show both."""
