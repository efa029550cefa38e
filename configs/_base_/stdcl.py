# STD-CL with the settings of the authors' release. To use it, inherit from an
# encoder's config and from this file, and add the shape of a clip (persons,
# frames, joints, channels):
#     model = dict(_base_.stdcl_model, clip_shape=(1, 52, 20, 3))
stdcl_head = dict(
    type='STDCLHead',
    decoupler=dict(type='ProjectionDecoupler'),
    memory_bank=dict(type='MemoryBank'),
    loss_contrast=dict(
        type='CrossSequenceContrastiveLoss',
        num_positives=128,
        num_negatives=512,
        temperature=0.8),
    spatial_weight=0.5,
    temporal_weight=0.5)
stdcl_model = dict(type='STDCLRecognizer', cls_head=stdcl_head)

# Configs of MMAction2 do not inherit default_runtime.py, which also contains
# SkeletonCheckHook. The second one of a run is removed.
custom_hooks = [dict(type='MemoryBankHook'), dict(type='SkeletonCheckHook')]
