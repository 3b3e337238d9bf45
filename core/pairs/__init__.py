"""Data sets of pairs, made offline: photos, and what each of several concepts makes of them."""
