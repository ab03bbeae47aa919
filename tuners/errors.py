"""What a tuner refuses."""


class TunerError(ValueError):
    """A tuner was used against its protocol, or asked for something that it cannot do."""
