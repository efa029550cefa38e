"""Sizes that a config may give."""


def require_positive(owner: str, **sizes: int) -> None:
    """Refuse sizes below 1.

    Args:
        owner (str): Who has them, for the message.
        **sizes (int): The sizes, under their names in the config.

    Raises:
        ValueError: One of them is below 1.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f'{owner}: {name} is {size}, expected 1 or more.')
