"""The error of an analysis that cannot be done, or a figure that cannot be drawn."""


class AnalysisError(ValueError):
    """Trials, a landscape or a figure is not as an analysis needs it; the message is one line and says what to do."""
