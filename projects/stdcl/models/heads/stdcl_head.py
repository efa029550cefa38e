"""Classification heads with STD-CL, which is active only in training."""
from inspect import signature

import torch
from mmaction.models.heads import GCNHead
from mmaction.registry import MODELS
from mmengine.dist import all_gather, get_rank, get_world_size

from ...utils.input_error import InputError
from ..memory_banks.memory_bank import merge_sequences
from ..unit_vectors import unit_vectors

TRAINING_ONLY = 'decoupler', 'spatial_bank', 'temporal_bank', 'loss_contrast'


class STDCLMixin:
    """Mixin that adds STD-CL to a classification head.

    To add STD-CL to a head ``OwnHead``, define
    ``class MyHead(STDCLMixin, OwnHead)``. The parameters of ``OwnHead`` keep
    their names. The decoupler and the memory banks take part in training
    only; ``predict`` and ``forward`` are those of ``OwnHead``.

    The loss is CE + w_s * loss_spatial + w_t * loss_temporal (arXiv
    2312.15144). Both weights are 1 in the paper and 1/2 in the authors' code.

    Args:
        decoupler (dict): Config of the decoupler. ``in_channels`` defaults to
            that of the head.
        memory_bank (dict): Config of each of the two banks. ``feat_dim``
            is set to the size of the decoupler's vectors.
        loss_contrast (dict): Config of the contrastive loss.
        spatial_weight (float): Weight w_s. Defaults to 0.5.
        temporal_weight (float): Weight w_t. Defaults to 0.5.
        args, kwargs: Arguments of ``OwnHead``.

    Attributes:
        batch_size (int): Size of a full batch of one process, set by
            ``MemoryBankHook``. Smaller batches are padded to this size before
            the processes exchange them. 0 disables padding.
    """

    batch_size = 0
    loss_arguments = {}  # class_size, if the loss accepts it

    def __init__(self, *args, decoupler: dict, memory_bank: dict,
                 loss_contrast: dict, spatial_weight: float = 0.5,
                 temporal_weight: float = 0.5, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # fork the random number generator, so that the encoder and the
        # classifier start with the same weights as without STD-CL
        with torch.random.fork_rng(devices=[]):
            self.decoupler = MODELS.build(
                {'in_channels': self.in_channels, **decoupler})
            self.loss_contrast = MODELS.build(loss_contrast)
        memory_bank = {**memory_bank, 'feat_dim': self.decoupler.out_channels}
        self.spatial_bank = MODELS.build(memory_bank)
        self.temporal_bank = MODELS.build(memory_bank)
        self.spatial_weight = spatial_weight
        self.temporal_weight = temporal_weight

    def init_weights(self) -> None:
        """Initialize all parameters; raise InputError if T or V is missing."""
        self.decoupler.require_sizes()
        super().init_weights()
        if not self.decoupler.is_init:  # by heads such as I3DHead
            self.decoupler.init_weights()

    def resize_banks(self, num_sequences: int,
                     class_size: int | None = None) -> None:
        """Give both banks empty slots for a training set.

        See :meth:`.MemoryBank.resize` for the arguments.
        """
        for bank in (self.spatial_bank, self.temporal_bank):
            bank.resize(num_sequences, self.num_classes,
                        **_accepted(bank.resize, class_size))
        self.loss_arguments = _accepted(self.loss_contrast.forward,
                                        self.spatial_bank.class_size)

    def loss(self, feats: torch.Tensor, data_samples: list,
             **kwargs) -> dict[str, torch.Tensor]:
        """Compute the losses of the head and of STD-CL.

        Args:
            feats (Tensor): The encoder's output, shape (N, M, C, T, V).
            data_samples (list[ActionDataSample]): N samples with ``gt_label``
                and, in their metainfo, ``sample_idx``.

        Returns:
            dict[str, Tensor]: The losses of the head, the weighted
            ``loss_spatial`` and ``loss_temporal``, and ``anchor_share``, the
            share of the batch that contributed to ``loss_temporal``.

        Raises:
            InputError: A sample has several labels or no ``sample_idx``, the
                banks are empty, or a loss of the head has one of these names.
        """
        losses = super().loss(feats, data_samples, **kwargs)
        # the samples of a validation set have no index
        if self.training or 'sample_idx' in data_samples[0].metainfo:
            contrast = self.contrast(feats, *self._labels_and_indices(
                data_samples, feats.device))
            if own := losses.keys() & contrast:
                raise InputError(f'{type(self).__name__} returns {sorted(own)}'
                                 ', expected other names: STD-CL uses these.')
            losses.update(contrast)
        return losses

    def contrast(self, feats: torch.Tensor, labels: torch.Tensor,
                 indices: torch.Tensor) -> dict[str, torch.Tensor]:
        """Write a batch to the banks, and compute the losses of STD-CL.

        All shapes follow from those of the arguments, and nothing is read
        back from the device, so the method can be compiled as one graph.

        Args:
            feats (Tensor): The encoder's output, shape (N, M, C, T, V).
            labels (Tensor): Classes, shape (N,).
            indices (Tensor): Indices in the training set, shape (N,).

        Returns:
            dict[str, Tensor]: ``loss_spatial``, ``loss_temporal`` and
            ``anchor_share``; see :meth:`loss`.
        """
        # stacking both vectors halves the number of operations
        vectors = unit_vectors(torch.stack(self.decoupler(feats)))  # (2, N, D)

        # every process writes all batches, so that the banks stay equal
        features, all_labels, all_indices, own = self._gather(
            vectors.detach(), labels, indices)
        features = merge_sequences(features, all_indices)
        banks = self.spatial_bank, self.temporal_bank
        slots = torch.stack([
            bank.update(written, all_labels, all_indices)
            for bank, written in zip(banks, features)])
        (spatial, temporal), share = self.loss_contrast(
            vectors, labels, slots[:, own], [bank.features for bank in banks],
            torch.stack([bank.labels for bank in banks]),
            **self.loss_arguments)
        return dict(loss_spatial=self.spatial_weight * spatial,
                    loss_temporal=self.temporal_weight * temporal,
                    anchor_share=share[1])

    def _labels_and_indices(self, data_samples: list, device: torch.device
                            ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return classes and training-set indices of a batch, both (N,)."""
        labels = torch.stack([sample.gt_label.flatten()
                              for sample in data_samples])
        if labels.shape[1] != 1:
            raise InputError(
                f'{type(self).__name__} needs one class per sequence, but '
                f'gt_label has {labels.shape[1]} values. Soft or multiple '
                'labels do not define positives and negatives.')
        indices = [sample.metainfo.get('sample_idx')
                   for sample in data_samples]
        if None in indices or not len(self.spatial_bank):
            raise InputError(
                f'{type(self).__name__} cannot tell which training sequences '
                'are in the batch: the samples have no sample_idx, or the '
                'memory banks have no slots. MemoryBankHook provides both. '
                "Add dict(type='MemoryBankHook') to custom_hooks.")
        # a blocking copy would wait for the encoder
        return (labels.flatten().to(device, non_blocking=True),
                torch.tensor(indices).to(device, non_blocking=True))

    def _gather(self, features: torch.Tensor, labels: torch.Tensor,
                indices: torch.Tensor) -> tuple:
        """Concatenate the rows of all processes, in order of rank.

        Maps features (2, N, D), labels (N,) and indices (N,) to those of all
        processes, (2, B, D), (B,), (B,), and the slice of this process's N
        rows. The single collective operation requires batches of equal size,
        so smaller ones repeat the index of their first row with zero features.
        ``merge_sequences`` adds these without effect.
        """
        if get_world_size() == 1:
            return features, labels, indices, slice(None)
        rows = torch.cat([
            features.transpose(0, 1).flatten(1).view(torch.int32),  # lossless
            torch.stack([labels, indices], dim=1).int()], dim=1)
        filling = rows[:1].repeat(max(0, self.batch_size - len(rows)), 1)
        filling[:, :-2] = 0
        sent = torch.cat([rows, filling])
        start = get_rank() * len(sent)
        gathered = torch.cat(all_gather(sent))  # (B, 2D + 2)
        features = gathered[:, :-2].contiguous().view(torch.float32)
        return (features.unflatten(1, (2, -1)).transpose(0, 1),
                gathered[:, -2].long(), gathered[:, -1].long(),
                slice(start, start + len(rows)))


def _accepted(function, class_size: int | None) -> dict:
    """Return ``class_size`` as an argument if a function accepts it."""
    return dict(class_size=class_size) if (
        'class_size' in signature(function).parameters) else {}


@MODELS.register_module()
class STDCLHead(STDCLMixin, GCNHead):
    """MMAction2's ``GCNHead`` with STD-CL.

    It takes the arguments of ``GCNHead`` and :class:`STDCLMixin`.
    """
