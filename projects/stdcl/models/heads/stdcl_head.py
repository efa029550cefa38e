"""The classification head with STD-CL: decoupling and contrast in training."""
from typing import Dict, List, Tuple

import torch
from mmaction.models.heads import GCNHead
from mmaction.registry import MODELS
from mmengine.dist import all_gather, get_rank

from ...utils.input_error import InputError
from ..unit_vectors import unit_vectors

# attributes of the head that inference does without
TRAINING_ONLY = ('decoupler', 'spatial_bank', 'temporal_bank')


class STDCLMixin:
    """Adds STD-CL to a classification head.

    Usage: ``class STDCLHead(STDCLMixin, GCNHead)``. The names of the head's
    parameters do not change. ``decoupler`` and the two banks are added and
    used in training only; ``predict`` and ``forward`` are the head's own.

    The objective is CE + w_s * loss_spatial + w_t * loss_temporal. Both
    weights are 1/2 in the authors' release, 1 in the paper, and 0.1 in the
    configs of this project (docs/findings.md).

    Args:
        decoupler (dict): Config of the decoupler. ``in_channels`` defaults to
            the head's.
        memory_bank (dict): Config of each of the two banks. ``feat_dim``
            follows the decoupler.
        loss_contrast (dict): Config of the contrastive loss.
        spatial_weight (float): w_s. Defaults to 0.5.
        temporal_weight (float): w_t. Defaults to 0.5.
        args, kwargs: Arguments of the head.

    Attributes:
        batch_size (int): Sequences in a full batch of a process, to which
            shorter ones are filled up where processes exchange them. 0 where
            batches are all alike. ``MemoryBankHook`` sets it.
    """

    batch_size = 0

    def __init__(self,
                 *args,
                 decoupler: Dict,
                 memory_bank: Dict,
                 loss_contrast: Dict,
                 spatial_weight: float = 0.5,
                 temporal_weight: float = 0.5,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # takes no random numbers from the encoder and the classifier: these
        # start, with the same seed, as they do without STD-CL
        with torch.random.fork_rng(devices=[]):
            self.decoupler = MODELS.build(
                {'in_channels': self.in_channels, **decoupler})
        feat_dim = self.decoupler.out_channels
        memory_bank = {'feat_dim': feat_dim, **memory_bank}
        if memory_bank['feat_dim'] != feat_dim:
            raise InputError(
                f'{type(self).__name__}: memory_bank.feat_dim is '
                f'{memory_bank["feat_dim"]}, but the decoupler gives vectors '
                f'of {feat_dim}. Leave feat_dim out.')
        self.spatial_bank = MODELS.build(memory_bank)
        self.temporal_bank = MODELS.build(memory_bank)
        self.loss_contrast = MODELS.build(loss_contrast)
        self.spatial_weight = spatial_weight
        self.temporal_weight = temporal_weight

    def init_weights(self) -> None:
        """Initialise the head, and the decoupler if the head did not."""
        self.decoupler.require_sizes()
        super().init_weights()
        if not self.decoupler.is_init:
            self.decoupler.init_weights()

    def resize_banks(self, num_sequences: int) -> None:
        """Make empty slots for the sequences of a training set."""
        for bank in (self.spatial_bank, self.temporal_bank):
            bank.resize(num_sequences, self.num_classes)

    def loss(self, feats: torch.Tensor, data_samples: List,
             **kwargs) -> Dict[str, torch.Tensor]:
        """The head's losses and those of STD-CL.

        Args:
            feats (Tensor): The encoder's output, shape (N, M, C, T, V).
            data_samples (list[ActionDataSample]): N samples with ``gt_label``
                and, in their metainfo, ``sample_idx``.

        Returns:
            dict[str, Tensor]: Beside the head's own (``loss_cls``, accuracy)
            ``loss_spatial``, ``loss_temporal`` and ``anchor_share``, the share
            of the batch that the contrast could use.
        """
        losses = super().loss(feats, data_samples, **kwargs)
        losses.update(self.contrast(feats, data_samples))
        return losses

    def contrast(self, feats: torch.Tensor,
                 data_samples: List) -> Dict[str, torch.Tensor]:
        """Decouple, write the batch into the banks, contrast it with them.

        Args and returns as in :meth:`loss`.
        """
        labels, indices = self._labels_and_indices(data_samples, feats.device)
        spatial, temporal = map(unit_vectors, self.decoupler(feats))  # (N, D)

        # every process writes what all of them have seen: equal banks
        features, all_labels, all_indices, own = self._gather(
            torch.cat([spatial, temporal], dim=1).detach(), labels, indices)
        losses = dict()
        for name, bank, anchors, written, weight in zip(
                ('spatial', 'temporal'),
                (self.spatial_bank, self.temporal_bank),
                (spatial, temporal), features.chunk(2, dim=1),
                (self.spatial_weight, self.temporal_weight)):
            slots = bank.update(written, all_labels, all_indices)
            loss, share = self.loss_contrast(anchors, labels, slots[own],
                                             bank.features, bank.labels)
            losses[f'loss_{name}'] = weight * loss
        losses['anchor_share'] = share  # the same for both banks
        return losses

    def _labels_and_indices(self, data_samples: List, device: torch.device
                            ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Classes and training-set indices of a batch, both (N,)."""
        labels = torch.stack([sample.gt_label for sample in data_samples])
        if labels.shape[1] != 1:
            raise InputError(
                f'{type(self).__name__} needs one class for each sequence, '
                f'but gt_label has {labels.shape[1]} values: soft or multiple '
                'labels have no positives and negatives.')
        indices = [sample.metainfo.get('sample_idx')
                   for sample in data_samples]
        if None in indices or not len(self.spatial_bank):
            raise InputError(
                f'{type(self).__name__} does not know which training '
                'sequences it is given (no sample_idx, or memory banks '
                'without slots). MemoryBankHook sets both up before training: '
                "add dict(type='MemoryBankHook') to custom_hooks.")
        return (labels.flatten().to(device),
                torch.tensor(indices, device=device))

    def _gather(self, features: torch.Tensor, labels: torch.Tensor,
                indices: torch.Tensor) -> Tuple:
        """Concatenate the rows of all processes, in order of rank.

        One collective, of 4 bytes for each of 2D features, label and index of
        a row. It needs batches of one size: shorter ones are filled up with
        zero features of their first sequence, which banks pass over.

        Args:
            features (Tensor): Float32, shape (N, 2D).
            labels, indices (Tensor): Shape (N,).

        Returns:
            tuple[Tensor, Tensor, Tensor, slice]: The same of all processes,
            (B, 2D), (B,) and (B,), and where the N rows are in it.
        """
        rows = torch.cat([features.view(torch.int32),  # no rounding on the way
                          torch.stack([labels, indices], dim=1).int()], dim=1)
        filling = rows[:1].repeat(max(0, self.batch_size - len(rows)), 1)
        filling[:, :-2] = 0
        sent = torch.cat([rows, filling])
        start = get_rank() * len(sent)
        gathered = torch.cat(all_gather(sent))  # (B, 2D + 2)
        return (gathered[:, :-2].view(torch.float32),
                gathered[:, -2].long(), gathered[:, -1].long(),
                slice(start, start + len(rows)))


@MODELS.register_module()
class STDCLHead(STDCLMixin, GCNHead):
    """MMAction2's ``GCNHead`` with STD-CL.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the encoder's output.
        decoupler, memory_bank, loss_contrast (dict): As in
            :class:`STDCLMixin`.
        **kwargs: As in :class:`STDCLMixin` and ``GCNHead``.
    """
