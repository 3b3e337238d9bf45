"""From images to a compressed generator: teachers, one-step search, distillation."""
