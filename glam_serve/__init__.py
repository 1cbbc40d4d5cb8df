"""The HTTP server; docs/adr/0008-serving.md says why it is built so.

Its modules:

- the start and the processes: cli, server, limits, system, supervisor, restarts, children, vitals, heap
- what passes between them: hub, hub_process, turns, dispatch, store
- the model: worker
- a connection and its request: connections, wire, guard, exchange, edges, keys, callers, sharing
- a form: uploads, slots, spool, prompts
- its answer: routes, answers, cache, jobs, vector_routes, similar, replies, accept, errors
- the published schema: schema, model_schema, vector_schema, openapi, docs_page
- what is written down: account, records, log, metrics, audit
- a server for a while: demo

The folder cohort is `glam-embed`, which needs the server's way of binding processes and nothing else of it; the folder
pacs brings it images by DICOMweb. The folder listen is `glam-serve listen`, which asks a server as its clients do.
"""
