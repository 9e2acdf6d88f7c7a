"""Training shared by the plugins: parameters, loop, losses, schedules, augmentation, checkpoints.

A plugin subclasses `bench.training.trained_method.TrainedMethod`, which imports no torch at import
time; everything else here is imported when a fit begins.
"""
