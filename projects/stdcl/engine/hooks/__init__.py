"""Hooks that check, save and record a run."""
from .checkpoint_fit_hook import CheckpointFitHook
from .consistency_hook import ConsistencyHook
from .finite_check_hook import FiniteCheckHook
from .memory_bank_hook import MemoryBankHook
from .preemption_hook import PreemptionHook
from .run_record_hook import RunRecordHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .score_file_hook import ScoreFileHook
from .skeleton_check_hook import SkeletonCheckHook

__all__ = ['CheckpointFitHook', 'ConsistencyHook', 'FiniteCheckHook',
           'MemoryBankHook', 'PreemptionHook', 'RunRecordHook',
           'SafeCheckpointHook', 'ScoreFileHook', 'SkeletonCheckHook']
