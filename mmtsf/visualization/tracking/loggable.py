"""Remove secrets from a config before it is sent anywhere."""

import os
import re
from typing import Any

from mmtsf.utils.text import without_secrets

#: What stands in the place of a secret
HIDDEN = '***'
#: Names of values that are secrets, in a config and among the variables of the environment
OF_SECRETS = re.compile(
    r'(^|[_.-])(password|passwd|passphrase|secret|credentials?|key|token|(api|access|secret|private|account|auth)_?key|'
    r'(api|access|auth|bearer|session|hub|hf)_?token|(connection|conn)_?string)$',
    re.IGNORECASE,
)
#: Names that end so and are none
NONE = ('cls_token',)
#: Letters from which on a value of the environment is looked for in texts: shorter ones occur by chance
LETTERS = 8


def without_secret_values(config: Any) -> Any:
    """Return a copy of a config's values without its secrets.

    Hidden are texts whose names are those of secrets, user, password and query of addresses, and the values of the
    environment's variables with such names wherever they occur.
    """
    return _hidden(config, [value for name, value in os.environ.items() if _is_secret(name) and len(value) >= LETTERS])


def _hidden(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: HIDDEN if isinstance(item, str) and item and _is_secret(str(name)) else _hidden(item, secrets)
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_hidden(item, secrets) for item in value)
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, HIDDEN)
    return without_secrets(value)


def _is_secret(name: str) -> bool:
    return name not in NONE and OF_SECRETS.search(name) is not None
