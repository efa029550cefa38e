_base_ = 'mmaction::_base_/default_runtime.py'

custom_imports = dict(imports=['projects.stdcl'], allow_failed_imports=False)

default_hooks = dict(
    checkpoint=dict(
        type='SafeCheckpointHook', max_keep_ckpts=3, save_best=None),
    preemption=dict(type='PreemptionHook'),
    finite_check=dict(type='FiniteCheckHook'),
    skeleton_check=dict(type='SkeletonCheckHook'),
    checkpoint_fit=dict(type='CheckpointFitHook'),
    consistency=dict(type='ConsistencyHook'),
    run_record=dict(type='RunRecordHook'))

# A distributed run stops if a process does not respond for this many seconds.
# Loading the data and saving a checkpoint must take less time.
env_cfg = dict(dist_cfg=dict(timeout=600))
