"""Remove secrets from a config before it is sent anywhere."""

import os
import re
from collections.abc import Iterable
from typing import Any

from mmtsf.utils.text import without_secrets

#: What stands in the place of a secret
HIDDEN = '***'
#: Names of what is secret, in a config, in texts and among the variables of the environment
OF_SECRETS = re.compile(
    r'passw|passphrase|pwd|secret|credential|cookie|authori[sz]ation|webhook|signature|'
    r'(api|access|account|auth|encryption|private|shared|signing|ssh)[_.-]?key|(connection|conn)[_.-]?string|'
    r'token$|^tokens$|(api|access|auth|bearer|session|hub|hf)[_.-]?tokens$|(^|[_.-])(auth|bearer|dsn|key|pat|sas|sig)$',
    re.IGNORECASE,
)
#: Names that read so and are none: of a model's parts, and of the current folder
NONE = ('cls_token', 'mask_token', 'PWD', 'OLDPWD')
#: Letters from which on a value of the environment is looked for in texts: shorter ones occur by chance
LETTERS = 8
#: What comes before a secret in a text, as ``password=`` and ``"sig": ``, and the secret
NAMED = re.compile(r"""([\w.-]+)(["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&;,"'{}\[\]()]+)""")
OPTION = re.compile(r'(--[\w.-]+\s+)(?!-)\S+')
#: What is secret in a text without a name: what is kept of it is the first group
KNOWN = [
    re.compile(r'(\b(?:Bearer|Basic)\s+)[\w+/=.~-]{6,}', re.IGNORECASE),
    re.compile(r'(:/+)[^/\s@]+(?=@)'),
    re.compile(r'(https?://(?=\S*hook)[^/\s]+/)\S+', re.IGNORECASE),  # who knows the path of a webhook may post there
    re.compile(
        r'()(?<![\w-])(?:hf_\w{16,}|gh[a-z]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|'
        r'sk-[\w-]{16,}|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)'
    ),
    re.compile(r'(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:(?!-----END)[\s\S])*'),
]


def without_secret_values(config: Any) -> Any:
    """Return a copy of a config's values without its secrets.

    Hidden are whatever lies below the name of a secret, but for None, booleans and what is empty; in texts user,
    password and query of addresses, the paths of webhooks, what follows the name of a secret, and keys of well-known
    forms; and the values of the environment's variables with such names wherever they occur.
    """
    return _hidden(config, [value for name, value in os.environ.items() if is_secret(name) and len(value) >= LETTERS])


def is_secret(name: str) -> bool:
    """Return whether a name is that of a secret."""
    return name not in NONE and OF_SECRETS.search(name) is not None


def _hidden(value: Any, secrets: list[str]) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        shown = {
            name: HIDDEN if is_secret(str(name)) and tells(item) else _hidden(item, secrets)
            for name, item in value.items()
        }
        return {_of_text(name, secrets) if isinstance(name, str) else name: item for name, item in shown.items()}
    if isinstance(value, (list, tuple)):
        items = [_hidden(item, secrets) for item in value]
        return items if isinstance(value, list) else tuple(items)
    text = _of_text(str(value), secrets)  # paths and the like have texts, too
    return value if text == str(value) else text


def tells(value: Any) -> bool:
    """Return whether a value can be a secret."""
    return not (value is None or isinstance(value, bool) or value in ('', [], (), {}))


def _of_text(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    if re.match(r'\s*([a-z][\w+.-]*:)?//', text, re.IGNORECASE):
        text = without_secrets(text)
    for known in KNOWN:
        text = known.sub(rf'\1{HIDDEN}', text)
    text = OPTION.sub(lambda found: f'{found[1]}{HIDDEN}' if is_secret(found[1].strip()) else found[0], text)
    return NAMED.sub(lambda found: f'{found[1]}{found[2]}{HIDDEN}' if is_secret(found[1]) else found[0], text)
