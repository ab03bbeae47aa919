"""The papers' letters."""

from types import MappingProxyType

SYMBOLS = MappingProxyType({"alpha": "lr", "eta": "lr", "gamma": "weight_decay"})
"""Of a hyperparameter -> its name in torch."""
