"""A benchmark's run on disk: its layout, typed documents, predictions and tables."""
