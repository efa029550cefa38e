# JHMDB at a quarter of the width, on one thread. A run takes minutes.
benchmark = 'jhmdb'
threads = 1

options = {'default_hooks.checkpoint.max_keep_ckpts': 1}

_gcn = {'model.backbone.base_channels': 16, 'model.cls_head.in_channels': 64}
encoders = {'stgcn': _gcn, '2s-agcn': _gcn, 'ctrgcn': _gcn}
