"""The viewer in the browser: a thin server in Python, and modules that draw in the page.

Which module is for what:

- the program: cli, demo, app, admission, privacy
- the page and its events: layout, handlers, tables
- an exam: uploads, examples, answers, exams, packing, store, downloads

The page's own modules, each by what it does: decode, frame, layout, raster, window, attention, overlay, pane, preview,
state, keys, words, toolbar, tour, truth, report, viewer (.mjs). They import each other and nothing else.
"""
