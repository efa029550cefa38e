"""Base class of transforms that print their arguments."""
from mmcv.transforms import BaseTransform


class Transform(BaseTransform):
    """``BaseTransform`` whose ``repr`` contains its attributes."""

    def __repr__(self) -> str:
        arguments = (f'{name}={value!r}' for name, value in vars(self).items())
        return f'{type(self).__name__}({", ".join(arguments)})'
