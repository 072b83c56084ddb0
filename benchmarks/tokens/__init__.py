"""What edits by tokens take, counted and, of one pair of klein's layers, timed."""
