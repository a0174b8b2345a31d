from mmtsf import models  # noqa: F401  # first: it knows how to import MMAction2 without a warning
