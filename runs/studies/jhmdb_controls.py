# How much of the recommended variant's gain on JHMDB's test sets do controls
# without contrast give? label-smoothing changes only the cross entropy.
# cross-entropy-8 keeps the block, the decoupler and the weights of the variant
# and replaces its contrastive loss with a second classifier, so it shows what
# supervising an earlier block gives. The run with seed s uses split s modulo
# 3, plus 1. All seeds are new, so the recommended arm also repeats the result
# of jhmdb_encoders.py. Arms and seeds were fixed before the first run. If
# differences vary as in that study, the interval of an arm extends 1.1 points
# to each side.
_base_ = ['_base_/jhmdb_clips.py', '_base_/jhmdb_splits.py',
          '_base_/recommended.py']

about = ('the recommended variant and two controls without contrast; ST-GCN '
         'on JHMDB, joint stream, six seeds on each of the three splits')

folds, tests = _base_._folds, _base_._tests
# the last one is for cross-entropy-8
options = {**_base_._splits, 'custom_imports.imports': [
    'projects.stdcl', 'runs.studies.parts.ideas']}

_SEEDS = list(range(9, 27))
_recommended = _base_._recommended
arms = {
    'plain': dict(encoder='stgcn', stdcl=False, seeds=_SEEDS),
    'recommended': dict(encoder='stgcn', against='plain', seeds=_SEEDS,
                        options=_recommended),
    'label-smoothing': dict(
        encoder='stgcn', stdcl=False, against='plain', seeds=_SEEDS,
        options={'model.cls_head.label_smooth_eps': 0.1}),
    'cross-entropy-8': dict(
        encoder='stgcn', against='plain', seeds=_SEEDS,
        options={
            'model.contrast_block': 8,
            'model.cls_head.decoupler.type': 'ProjectionDecoupler',
            'model.cls_head.spatial_weight': 0.5,
            'model.cls_head.temporal_weight': 0.5,
            'model.cls_head.loss_contrast': dict(
                _delete_=True, type='CosineCrossEntropy', num_classes=14)}),
}
