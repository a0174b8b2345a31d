"""Have scripts of MMEngine and MMAction2 build our Runner for configs that name it, and find object storage by prefix.

Configs of ours import this module when they are read; importing mmtsf does not.
"""

import mmtsf.fileio  # noqa: F401
from mmtsf.compat import honour_runner_type

honour_runner_type('mmtsf.Runner')
