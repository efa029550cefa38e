model = dict(
    type='RecognizerGCN',
    data_preprocessor=dict(type='SkeletonDataPreprocessor'),
    backbone=dict(type='CTRGCN'),
    cls_head=dict(
        type='GCNHead',
        in_channels=256,
        # standard deviation sqrt(2 / classes), as in the authors' code
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_out', distribution='normal')))
