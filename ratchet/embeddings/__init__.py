"""Sentence embeddings of a frozen backbone: the encoder and the table of vectors."""
