"""The one error that is shown to a user; every other exception is a bug."""


class DataError(ValueError):
    """Input breaks the documented format: the message says where, what was expected, what came and what to do."""
