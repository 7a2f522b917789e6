"""Questions asked of many evaluations: two controllers, constants, mechanisms, Table 1."""
