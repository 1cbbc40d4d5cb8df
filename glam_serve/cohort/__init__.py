"""Cohorts: `glam-embed` turns a manifest, a folder or a PACS into a store, every item exactly once.

- what is to be done: items, plan, sources, folder, remote, faults
- doing it: decoder, decoders, runner, recipe, engines, embed, signals
- on a cluster: ray_cluster, ray_engine, ray_work, ray_actor
- asking a store: questions, search_command, index_command
- what it holds, and what leaves it: describe_command, describe_page, export, lance_export
- the command: cli
"""
