"""The five tasks of the DEFLECT paper (arXiv 2503.09493), from the layouts as their authors distribute them.

    folder ──reading──▶ SampleSet ──tiling──▶ Labelled ──codec.adapt.training──▶ adapter and head ──scoring──▶ one number

`docs/reproduce_deflect.md` has the commands, what differs from the paper, and the authors' figures.
"""
