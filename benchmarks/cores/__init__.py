"""What several cores make of a pass: two threads measured beside one, and fast beside slow cores in simulation."""
