"""Run a command: ``python -m mmtsf train ...``."""

from mmtsf.commands import main

main()
