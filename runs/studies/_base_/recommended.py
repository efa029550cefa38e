# The settings of the recommended variant, written out so that later changes of
# the defaults have no effect on studies.
_recommended = {
    'model.cls_head.decoupler.type': 'ProjectionDecoupler',
    'model.cls_head.spatial_weight': 0.5,
    'model.cls_head.temporal_weight': 0.5,
    'model.cls_head.loss_contrast.num_positives': 128,
    'model.cls_head.loss_contrast.num_negatives': 512,
    'model.cls_head.loss_contrast.temperature': 0.1,
    'model.contrast_block': 8}
