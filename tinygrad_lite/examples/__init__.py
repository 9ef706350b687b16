"""Worked models, one short file each:

python -m tinygrad_lite.examples.mlp --picture mlp.png
"""
