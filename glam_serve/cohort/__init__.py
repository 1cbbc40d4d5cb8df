"""Cohorts: `glam-embed` turns a manifest or a folder into a store, every item exactly once.

- what is to be done: items, plan, folder
- doing it: decoders, runner, engines
- the command: cli
"""
