"""Hooks."""
from .checkpoint_fit_hook import CheckpointFitHook
from .memory_bank_hook import MemoryBankHook
from .run_record_hook import RunRecordHook
from .score_file_hook import ScoreFileHook
from .skeleton_check_hook import SkeletonCheckHook

__all__ = ['CheckpointFitHook', 'MemoryBankHook', 'RunRecordHook',
           'ScoreFileHook', 'SkeletonCheckHook']
