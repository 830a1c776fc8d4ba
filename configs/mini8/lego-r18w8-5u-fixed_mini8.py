# The eight tasks over five units a layer, two of which a task uses: one that all have in
# common and one for its kind of images.
_base_ = 'lego-r18w8-4u-soft_mini8.py'

routes = dict(
    cells=[0, 1],
    count=[0, 1],
    scene=[0, 2],
    tags=[0, 2],
    night=[0, 2],
    toydet=[0, 3],
    toyseg=[0, 3],
    objects=[0, 4])
model = dict(
    lego=dict(
        num_units=5,
        router=dict(
            _delete_=True,
            type='gppf_mm.FixedRouter',
            group='block',
            routes=routes)))

# The rate that the benchmark's search chose for it.
optim_wrapper = dict(optimizer=dict(lr=8e-3))
