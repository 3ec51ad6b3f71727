"""Judging answers: what can be read off an answer's text, and how it is put into numbers."""
