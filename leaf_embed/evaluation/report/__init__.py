"""Results of an evaluation, and their report as JSON, Markdown and one HTML page."""
