"""Check the clips and the outputs of a model."""
from collections.abc import Callable, Sequence

import torch

from .input_error import InputError, require_positive
from .skeleton_layout import SkeletonLayout

AXES = ('persons', 'frames', 'joints', 'channels')  # M, T, V, C
LAYOUT = ('to the layout of your data: a name, or a dict with joint_names, '
          'edges and center.')


def require_equal_shapes(where: str, clips) -> None:
    """Raise InputError if clips differ in shape: padding changes results."""
    shapes = sorted({tuple(clip.shape) for clip in clips})
    if len(shapes) > 1:
        raise InputError(
            f'{where}: the clips have the shapes {shapes[0]} and {shapes[-1]} '
            f'(clips, {", ".join(AXES)}), expected the same. Add a transform '
            'with clip_len, such as UniformSampleFrames, and then PoseDecode.')


def check_shape(model, shape, where: str, trained: bool = False) -> None:
    """Raise InputError unless a clip of ``shape``, (M, T, V, C), fits.

    If ``trained`` is True, the message does not advise to change the model.
    """
    if len(shape) != len(AXES):
        raise InputError(f'{where}: a clip has the shape {tuple(shape)}, '
                         f'expected ({", ".join(AXES)}): use FormatGCNInput.')
    layout = getattr(model.data_preprocessor, 'layout', None)
    lost = shape[3] == 2 and getattr(layout, 'dims', 3) == 2
    for what, *rest, advice in _expectations(model, *shape):
        if trained:
            advice = 'The data must have the form of the training data.'
        if trained and lost and what == 'channels':
            advice = 'The confidence of the joints is missing.'
        _require([(what, *rest, advice)], where)


def require_finite(where: str, *outputs) -> None:
    """Raise InputError if tensors that a model returned are not finite."""
    if not all(output.isfinite().all() for output in outputs):
        raise InputError(f'{where}: some outputs of the model are NaN or '
                         'infinite. Check the joints and the weights.')


def try_zeros(function: Callable, shape: Sequence[int], where: str):
    """Call a function on a clip of zeros, (1, M, T, V, C).

    Any error becomes an ``InputError`` that starts with ``where``.
    """
    try:
        return function(torch.zeros(1, *shape))
    except Exception as error:
        raise InputError(
            f'{where} fails on a clip of shape {tuple(shape)} '
            f'({", ".join(AXES)}): {" ".join(str(error).split())}') from error


def check_encoder(encoder, shape) -> None:
    """Raise InputError unless a clip of ``shape`` fits the encoder alone."""
    _require(_of_encoder(encoder, *shape), type(encoder).__name__)


def _require(expectations, where: str, alternative: str = '') -> None:
    for what, seen, owner, expected, advice in expectations:
        if seen != expected:
            raise InputError(
                f'{where}: the number of {what} is {seen}, but '
                f'{type(owner).__name__} is built for {expected}. {advice}'
                f'{alternative}')


def check_features(model, feats, persons: int) -> None:
    """Raise InputError unless M and C of features (N, M, C, T, V) fit."""
    head = model.cls_head
    if getattr(feats, 'ndim', 0) != 5:
        return
    if feats.shape[1] > persons:  # such as features of videos
        if not hasattr(head, 'decoupler'):
            return
        raise InputError(
            f'{type(model.backbone).__name__} returns features of the shape '
            f'{tuple(feats.shape)}, expected (N, up to {persons} persons, C, '
            'T, V).')
    if feats.shape[2] != getattr(head, 'in_channels', feats.shape[2]):
        raise InputError(
            f'{type(model.backbone).__name__} returns {feats.shape[2]} '
            f'channels, but {type(head).__name__} is built for '
            f'{head.in_channels}. Set model.cls_head.in_channels='
            f'{feats.shape[2]}.')


def try_decoupler(head, feats) -> tuple:
    """Call the decoupler of a head; raise InputError if it does not fit."""
    try:
        return head.decoupler(feats)
    except (RuntimeError, IndexError, AttributeError) as error:
        raise InputError(
            f'model.cls_head.decoupler fails: {" ".join(str(error).split())}. '
            f'The encoder returns {getattr(feats, "shape", type(feats))}, '
            'expected (N, M, C, T, V). If sizes differ, set in_channels to C '
            '(or that of the block model.contrast_block), num_frames to T, and'
            ' num_joints to V, or fit model.clip_shape.') from error


def fitting_shape(model, shape: Sequence[int]) -> tuple:
    """Replace the sizes in ``shape``, (M, T, V, C), that do not fit."""
    sizes = dict(zip(AXES, shape))
    for what, _, _, expected, _ in _expectations(model, *shape):
        sizes[what] = expected
    return tuple(sizes.values())


def check_clip_shape(model, shape: Sequence[int]) -> None:
    """Raise InputError unless ``model.clip_shape`` fits the model."""
    if not isinstance(shape, Sequence) or len(shape) != len(AXES):
        raise InputError(f'model.clip_shape is {shape!r}, expected '
                         f'({", ".join(AXES)}).')
    require_positive('model.clip_shape', **dict(zip(AXES, shape)))
    fitting = fitting_shape(model, shape)
    _require(_expectations(model, *shape), f'model.clip_shape={tuple(shape)}',
             f' If your clips have the shape {fitting} ({", ".join(AXES)}), '
             'set model.clip_shape to it instead.')


def _expectations(model, persons: int, frames: int, joints: int,
                  channels: int):
    """Yield (axis, size seen, part of the model, size expected, advice)."""
    preprocessor = model.data_preprocessor
    if hasattr(preprocessor, 'layout'):
        yield ('joints', joints, preprocessor, preprocessor.layout.num_joints,
               f'Set model.data_preprocessor.layout {LAYOUT}')
    yield from _of_encoder(model.backbone, persons, frames, joints, channels)


def _of_encoder(encoder, persons: int, frames: int, joints: int,
                channels: int):
    if isinstance(getattr(encoder, 'layout', None), SkeletonLayout):
        yield ('joints', joints, encoder, encoder.layout.num_joints,
               f'Set model.backbone.layout {LAYOUT}')
    elif hasattr(getattr(encoder, 'graph', None), 'num_node'):
        yield ('joints', joints, encoder, encoder.graph.num_node,
               f'Set model.backbone.graph_cfg.layout {LAYOUT}')
    else:
        return  # attributes of other encoders may have a different meaning
    if hasattr(encoder, 'in_channels'):
        yield ('channels', channels, encoder, encoder.in_channels,
               f'Set model.backbone.in_channels={channels}.')
    if hasattr(encoder, 'num_frames'):
        yield ('frames', frames, encoder, encoder.num_frames,
               f'Set clip_len={encoder.num_frames} in the pipelines, or set '
               'model.backbone.num_frames to your clip_len, a multiple of 16, '
               'and adapt model.cls_head.feature_size.')
    persons_built_for = getattr(encoder, 'num_person', None)
    if hasattr(encoder, 'data_bn_type'):  # of MMAction2
        persons_built_for = encoder.data_bn.num_features // (
            encoder.graph.num_node * encoder.in_channels
        ) if encoder.data_bn_type == 'MVC' else None
    if persons_built_for is not None:
        yield ('persons', persons, encoder, persons_built_for,
               f'Set model.backbone.num_person={persons}, or num_person='
               f'{persons_built_for} of FormatGCNInput in the pipelines.')
