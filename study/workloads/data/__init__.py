"""Data sets: small ones come inside Python packages, others are read from a folder."""


def data_name(data: str) -> str:
    """The last part of a folder's path, or a package's name."""
    return data.rstrip("/").rpartition("/")[2]
