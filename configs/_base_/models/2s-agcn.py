model = dict(
    type='RecognizerGCN',
    data_preprocessor=dict(type='SkeletonDataPreprocessor'),
    backbone=dict(
        type='AAGCN',
        graph_cfg=dict(mode='spatial'),
        gcn_attention=False),
    cls_head=dict(type='GCNHead', in_channels=256))
