"""The web door: where people see holds and answer them. It never touches the gate.

``app.create_web`` puts it together; ``credentials`` is also used by the command line.
"""
