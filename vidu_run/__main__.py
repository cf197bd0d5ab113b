"""`python -m vidu_run`."""

from vidu_run.cli import main

main()
