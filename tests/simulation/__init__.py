"""A simulation of the whole message path in one thread: a fake clock, fake sockets and a fake disk, from one seed.

`world.py` puts the fakes into the modules of ddmlp; all classes above them are the real ones. `scenario.py` draws what
happens from the seed, `simulation.py` runs it and checks the invariants.
"""
