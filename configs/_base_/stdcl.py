# STD-CL for any encoder: inherit the encoder's config and this one, and add
#     model = dict(cls_head=_base_.stdcl_head)
stdcl_head = dict(
    type='STDCLHead',
    decoupler=dict(type='AttentiveDecoupler'),
    memory_bank=dict(type='MemoryBank'),
    loss_contrast=dict(type='CrossSequenceContrastiveLoss'),
    # 0.5 in the release; tuned on the training views, see docs/findings.md
    spatial_weight=0.1,
    temporal_weight=0.1)

# default_runtime.py has the check too; MMAction2's configs do not
custom_hooks = [dict(type='MemoryBankHook'), dict(type='SkeletonCheckHook')]
