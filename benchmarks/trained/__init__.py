"""Trained weights and photographs, where random ones would show nothing."""
