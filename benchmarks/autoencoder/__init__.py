"""What encoding and decoding an edit takes, beside encoding and decoding the picture."""
