"""Workers: fresh processes that load a model to train, judge, merge, preview or chat with it.

Nobody imports this package; it is started as `python -m studio.worker`. Only here are torch and Unsloth imported.
"""
