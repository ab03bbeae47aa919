"""Black boxes: training code of any kind, a Python function or a command, called or run once a trial.

It runs in processes of its own, so that whatever it does ends that trial alone.
"""

from study.black_boxes.box import BlackBox, TrialError
from study.black_boxes.command import Command
from study.black_boxes.function import Function
from study.black_boxes.label import Label

__all__ = ["BlackBox", "Command", "Function", "Label", "TrialError"]
