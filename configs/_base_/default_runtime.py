_base_ = 'mmaction::_base_/default_runtime.py'

custom_imports = dict(imports=['projects.stdcl'], allow_failed_imports=False)

default_hooks = dict(
    checkpoint=dict(
        type='SafeCheckpointHook', max_keep_ckpts=3, save_best=None),
    preemption=dict(type='PreemptionHook'),
    finite_check=dict(type='FiniteCheckHook'),
    skeleton_check=dict(type='SkeletonCheckHook'),
    checkpoint_fit=dict(type='CheckpointFitHook'),
    run_record=dict(type='RunRecordHook'))

# Seconds that a process waits for the others before it gives up, so that one
# that hangs ends the run. Between two exchanges lies at most the preparation
# of the data, or a step and the main process's checkpoint or accuracy:
# minutes where disks are slow.
env_cfg = dict(dist_cfg=dict(timeout=600))
