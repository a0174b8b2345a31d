"""Run a command: ``python -m mmtsf train ...``."""

from mmtsf.commands import main

if __name__ == '__main__':
    main()
