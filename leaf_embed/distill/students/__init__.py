"""Kinds of student behind one protocol."""
