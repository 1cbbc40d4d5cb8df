"""Cohorts: `glam-embed` turns a manifest or a folder into a store, every item exactly once.

- what is to be done: items, plan, folder
- doing it: decoders, runner, engines
- asking a store: questions, search_command, index_command
- what it holds, and what leaves it: describe_command, describe_page, export, lance_export
- the command: cli
"""
