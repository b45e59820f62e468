"""`mtl serve`: trained models behind HTTP. A request's rows go from ``application`` to ``batching`` and back."""
