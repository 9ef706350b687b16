"""The loop, the state it works on, evaluation, and a run's folder."""
