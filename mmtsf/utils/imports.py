"""Import MMEngine without what it imports for optimizers alone."""

import sys

#: What MMEngine 0.10.7 tries to import to register optimizers, and does without where it is missing; transformers takes
#: seconds
FOR_OPTIMIZERS = ('transformers', 'bitsandbytes', 'dadaptation', 'lion_pytorch', 'Sophia')


def skip_optimizers() -> None:
    """Import :mod:`mmengine.optim` as if these packages were not installed, in a process that trains nothing.

    They can be imported afterwards; their optimizers are not registered.
    """
    hidden = [name for name in FOR_OPTIMIZERS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # what is None there cannot be imported
    try:
        import mmengine.optim  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
