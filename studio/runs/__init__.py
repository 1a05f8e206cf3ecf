"""Runs: folders on disk, the events in them, and the processes behind them.

A run is a folder; a reader needs nothing else. No training code and no widgets belong here.
"""
