"""Hooks."""
from .checkpoint_fit_hook import CheckpointFitHook
from .memory_bank_hook import MemoryBankHook
from .run_record_hook import RunRecordHook
from .skeleton_check_hook import SkeletonCheckHook

__all__ = ['CheckpointFitHook', 'MemoryBankHook', 'RunRecordHook',
           'SkeletonCheckHook']
