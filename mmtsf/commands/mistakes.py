"""Tell the mistakes of users, which are one line, from faults of the program, which show where they come from."""

import sys
import traceback

#: What is one wherever it is raised: files, and what cannot be read or imported
ALWAYS = (OSError, SyntaxError, ImportError)
#: What is one where our code, or MMEngine's of configs and registries, says so
DELIBERATE = (ValueError, TypeError, KeyError, RuntimeError)
OURS = ('/mmtsf/', '/mmengine/config/', '/mmengine/registry/')


def is_mistake(error: Exception) -> bool:
    """Return whether an error was raised to tell the user of a mistake."""
    decoding = sys.modules.get('mmtsf.datasets.decoders.broken')  # not imported for this: it takes seconds
    if isinstance(error, (*ALWAYS, *([decoding.BrokenVideoError] if decoding else []))):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, DELIBERATE) and bool(frames) and any(place in frames[-1].filename for place in OURS)
