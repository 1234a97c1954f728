"""Missions, a folder each: what their files are called, hold and mean. Readers and writers ask."""
