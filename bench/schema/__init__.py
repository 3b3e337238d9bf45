"""The language that the host and a device speak: Job and Result, as pydantic models and as JSON Schema files."""
