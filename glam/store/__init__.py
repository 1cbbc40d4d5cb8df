"""The store of a cohort: a folder of Parquet files with a row an image, a breast or an exam. numpy and pyarrow alone.

`schema` names the files and their columns, `run_key` says what a store was made with, `write` puts shards into it,
`read` takes them out, `verify` checks a whole store. `opening` brings its embeddings into memory, `search` and `index`
find the nearest, `survey` and `sample` describe them. docs/cohort.md describes the format.
"""
