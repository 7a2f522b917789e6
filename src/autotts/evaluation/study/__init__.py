"""Questions asked of many evaluations: constants, mechanisms, the paper's table."""
