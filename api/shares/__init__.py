"""Links that show one job to whoever has them."""
