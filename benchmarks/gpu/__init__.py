"""Speed and memory on a GPU, with networks of the paper's size."""
