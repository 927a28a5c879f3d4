"""The web door: where people see holds and answer them. It never touches the gate."""
