"""Mammograms that modalities and archives send (C-STORE), and what the model says of each study (docs/pacs.md).

- command: `glam-serve listen`
- receive, limits: associations, what they may use, and the files that come
- worklist: what came and what became of it
- answer: studies that came to rest, asked about at a running server
"""
