# What the recommended variant changes in stdcl.py; docs/guides/recommended.md
# explains why. A config inherits a config with STD-CL and this file, and adds
#     model = _base_.stdcl_recommended
stdcl_recommended = dict(
    contrast_block=8,
    cls_head=dict(loss_contrast=dict(temperature=0.1)))
