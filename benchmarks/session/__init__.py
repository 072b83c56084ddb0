"""What editing after editing costs: memory, time, likeness and waiting, of recordings in every place."""
