"""Which texts databases hold."""

import re

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def unstorable(text: str) -> str | None:
    """What a text has that PostgreSQL, or UTF-8, cannot hold: NUL, or half of a surrogate pair; None without."""
    found = UNSTORABLE.search(text)
    if found is None:
        return None
    return f"the character U+{ord(found.group()):04X}, which no database keeps: leave it out"
