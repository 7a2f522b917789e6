"""Programs at work: the state in memory, and the same actions compiled and interpreted."""
