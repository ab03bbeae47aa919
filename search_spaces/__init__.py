"""Search spaces: axes of hyperparameter values, their conversions, and the spaces that papers published."""

from search_spaces.axis import Axis, Scale
from search_spaces.catalog import CATALOG, PublishedSpace, get_space
from search_spaces.errors import SpaceError, nearest_name
from search_spaces.space import SearchSpace

__all__ = [
    "CATALOG",
    "Axis",
    "PublishedSpace",
    "Scale",
    "SearchSpace",
    "SpaceError",
    "get_space",
    "nearest_name",
]
