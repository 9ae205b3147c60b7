"""NeuCo-Bench's protocol as a suite of its own, with plain means, intervals and a byte axis beside its Q."""
