"""`python -m autotts`."""

from autotts.cli import main

main()
