"""The asyncio driver of the gate: recorder, probes, waiters, clock."""
