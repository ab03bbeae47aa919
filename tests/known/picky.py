"""An optimizer that fails for some rates, as foreign code may."""

import os

import torch


class Picky(torch.optim.SGD):
    """Raises where the rate is 0.5, and ends its process where it is 7."""

    def step(self, closure=None):
        rate = self.param_groups[0]["lr"]
        if rate == 0.5:
            raise ArithmeticError("not with this rate")
        if rate == 7:
            os._exit(3)
        return super().step(closure)
