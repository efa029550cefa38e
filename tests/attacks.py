"""Objects that run code when a pickle that contains them is loaded."""


class Call:
    """Object that is pickled as a function call, optionally with a state."""

    def __init__(self, function, *args, state=None):
        self.reduced = function, args, state

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Satisfy pickle, which requires callable functions."""
