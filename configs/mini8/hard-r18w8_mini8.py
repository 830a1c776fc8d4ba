# Hard sharing with each task's own normalisation: the baseline to beat.
_base_ = 'lego-r18w8-4u-soft_mini8.py'

model = dict(
    lego=dict(
        num_units=1,
        router=dict(
            _delete_=True, type='gppf_mm.FixedRouter', group='block')))
