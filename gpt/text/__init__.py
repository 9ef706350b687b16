"""Texts and tokens: corpora, tokenizers, and counts that a model is compared with."""
