"""Texts of concepts as E2GAN's cross-attention reads them: 77 tokens of 512 numbers each."""
