"""Whose errors are a user's to see: ours say in one line what came, what is allowed and what to do."""

OURS = {"study", "storage", "search_spaces", "analysis", "tuners"}


def is_ours(error: BaseException) -> bool:
    """Whether the error's class is one of this project's."""
    return type(error).__module__.partition(".")[0] in OURS
