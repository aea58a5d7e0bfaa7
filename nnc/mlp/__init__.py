"""The multilayer perceptron: the model, its training, its files."""
