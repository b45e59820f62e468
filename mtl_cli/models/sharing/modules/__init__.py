"""The modules that the sharing schemes build. They import torch, so that the schemes' settings need not."""
