"""What the trail says when it cannot be written: then nothing may run."""


class TrailUnavailable(Exception):
    """A record could not be made durable; the message says why and what to do next."""
