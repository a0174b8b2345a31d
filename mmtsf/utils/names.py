"""Tell names of classes that can be shown from other texts."""

import unicodedata
from typing import Any

#: Characters of a name
LONGEST = 500
#: Line ends, escape codes, halves of characters, and those that are not seen or turn others round
CONTROL = {'Cc', 'Cf', 'Cs', 'Zl', 'Zp'}
#: A tab, and what scripts in use write with: joiners, marks of direction, the soft hyphen, signs of Arabic and Syriac,
#: the vowel separator of Mongolian, tags of flags
ALLOWED = {
    *'\t\u200c\u200d\u200e\u200f\u061c\u00ad\u06dd\u070f\u08e2\u180e',
    *map(chr, range(0x600, 0x606)),
    *map(chr, range(0xE0020, 0xE0080)),
}
EXPECTED = f'one line that can be seen, of at most {LONGEST} characters'


def is_name(value: Any) -> bool:
    """Return whether a value is a text of one line that can be seen."""
    if not isinstance(value, str) or len(value) > LONGEST or not value.strip():
        return False
    return not any(unicodedata.category(character) in CONTROL for character in value if character not in ALLOWED)
