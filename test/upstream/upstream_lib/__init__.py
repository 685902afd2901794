"""The parts of the upstream double; app.py is where reading starts."""
