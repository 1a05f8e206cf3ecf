"""Evaluation: how an answer is judged, and the report that sets base and tuned model side by side.

Loads no model; `studio.worker.evaluate` brings the answers.
"""
