"""Controller programs, one method per file: `schedule(beta)` and `solve(env, p)`.

Where a source gives its own setting, beta 0.5 is that setting. No constant was chosen on AIME25.
"""
