# Does the recommended variant with a nonlinear projection help on NW-UCLA? In
# nw_ucla_encoders.py and nw_ucla_other_encoders.py, the gain of the variant
# does not exceed chance on average over three and over six encoders. Results
# on training data suggest this change: of the arms in jhmdb_what_helps.py that
# have six seeds and gain, the nonlinear projection varies least and lowers the
# negative log-likelihood most. Together with block 8, it gains 2.4 points with
# one clip and with five (block 8 alone: 1.5 and 2.4; seeds 0 to 2). For HCN,
# this combination is new; the nonlinear projection of its output did not help
# (jhmdb_hcn.py). All seeds are new. Arms and seeds were fixed before the first
# run. When the first pair was known (plain 90.9, nonlinear 88.6), we decided
# that all runs will be completed, and that the variant counts as better if the
# 97.5 % interval of the mean top-1 gain over the encoders is above zero. If
# differences vary as in nw_ucla_encoders.py, the interval of the mean extends
# 1.6 points to each side (2.1 points at 97.5 %, as this is the second attempt
# on these sequences).
_base_ = 'nw_ucla_encoders.py'

about = ('plain training and the recommended variant with a nonlinear '
         'projection of three encoders on NW-UCLA, official split, joint '
         'stream, 120 epochs and a quarter of the width (HCN: 240 epochs, '
         'half of the width), new seeds')

# for NonlinearProjectionDecoupler
options = {'custom_imports.imports': [
    'projects.stdcl', 'runs.studies.parts.ideas']}

_SEEDS = list(range(5, 10))
arms, means = dict(_delete_=True), dict(_delete_=True)
for _encoder in ('stgcn', 'hcn', 'ctrgcn'):
    _recommended = _base_.arms[f'{_encoder}-recommended']
    arms[_encoder] = dict(_base_.arms[_encoder], seeds=_SEEDS)
    arms[f'{_encoder}-nonlinear'] = dict(
        _recommended, seeds=_SEEDS, options={
            **_recommended['options'], 'model.cls_head.decoupler.type':
            'NonlinearProjectionDecoupler'})
means['nonlinear, mean over the encoders'] = [
    'stgcn-nonlinear', 'hcn-nonlinear', 'ctrgcn-nonlinear']
