"""The shared package: everything between a DICOM file and an answer. Importing it imports nothing."""
