"""The teacher's side of a distillation: texts, and the cache of their vectors. Extra: ``train``."""
