"""The way of a recipe from images to a report: one file a stage, and what runs, skips and resumes them."""
