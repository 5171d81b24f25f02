"""A leaf directory in, what others read out: ONNX graphs, shorter leaves, Routers, the hub. Extra: ``train``."""
