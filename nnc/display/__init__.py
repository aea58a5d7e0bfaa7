"""What is shown of a graph: the chain rule in LaTeX, the picture, the backward pass step by step."""
