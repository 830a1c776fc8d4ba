# The eight tasks over ten units a layer: all in the mix while routes are learned, and the
# three of the highest scores from half of the run on. A task begins with the common
# unit 0, one of its own (1 to 6), which `count` and `tags` do without, and one for its
# kind of images (7 to 9).
_base_ = 'lego-r18w8-4u-soft_mini8.py'

start = dict(
    cells=[0, 1, 7],
    count=[0, 7],
    scene=[0, 2, 8],
    tags=[0, 8],
    night=[0, 4, 8],
    objects=[0, 3],
    toydet=[0, 5, 9],
    toyseg=[0, 6, 9])
model = dict(
    lego=dict(
        num_units=10,
        router=dict(
            _delete_=True,
            type='gppf_mm.TopKRouter',
            group='block',
            k=[(0, 10), (600, 3)],
            temperature=1 / 3,
            initial_routes=start)))

# The rate that the benchmark's search chose for it.
optim_wrapper = dict(optimizer=dict(lr=1.6e-2))
