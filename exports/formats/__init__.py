"""How rows become files: one module for each way of writing them."""
