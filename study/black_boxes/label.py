"""A name in `optimizers` of a study whose workload is a black box: it means what the black box makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from study.spec.black_box import OF_A_TRIAL


@dataclass(frozen=True)
class Label:
    """Takes every axis and every setting; the black box is given both."""

    def settings(self, given: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
        """No numbers, and every setting as it was written. Raises ValueError for lists and tables."""
        for name, value in given.items():
            self.check_target(name)
            if not isinstance(value, bool | int | float | str):
                raise ValueError(f"{name} = {value!r} is not allowed: give a number or a text")
        return {}, dict(given)

    def own_name(self, axis: str) -> str:
        """The axis itself. Raises ValueError when it names something else of a trial."""
        self.check_target(axis)
        return axis

    def check_target(self, name: str) -> None:
        """Raise ValueError when a hyperparameter cannot be called so."""
        if name in OF_A_TRIAL or not name.isidentifier():
            raise ValueError(
                f"no hyperparameter can be called {name!r}: use letters, digits and underscores, and none of "
                f"{', '.join(OF_A_TRIAL)}"
            )

    def check_values(
        self, values: Mapping[str, float], options: Mapping[str, Any], shown: Mapping[str, str]
    ) -> None:
        """All values are allowed."""

    def complete(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings: there are no defaults to be known."""
        return dict(settings)
