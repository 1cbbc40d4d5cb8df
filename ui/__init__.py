"""The viewer in the browser: a thin server in Python, and modules that draw in the page.

Which module is for what:

- the program: cli, demo, app
- who comes in, and what is kept in: admission, guard, questions, arrivals, parts, privacy
- the page and its events: layout, handlers, turns, leftovers, tables, similar
- an exam: uploads, examples, answers, exams, previews, packing, store, downloads

The page's own modules (.mjs) import each other and nothing else:

- geometry and numbers, nothing drawn: frame, layout, window, attention, heat, truth
- pixels: loading, decode, raster, preview
- what is drawn: scene, overlay, pane, strip
- what a reader does: choosing, gestures, keyboard, keys, actions, toolbar, tour, help
- the state, and what is said and saved: state, link, words, report, saving
- all of it together: viewer
"""
