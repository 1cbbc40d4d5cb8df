"""Mammograms from a PACS by DICOMweb, in place of a manifest or a folder (docs/pacs.md).

- access: where the PACS is and as whom it is asked
- connection, answer, troubles, multipart: requests that are tried again, and what comes back
- query, survey, catalogue, cohort: which images there are
- fetch: the images of an item, in the process that reads them
"""
