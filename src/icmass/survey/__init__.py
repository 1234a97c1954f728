"""Surveys on disk and every way to make one."""
