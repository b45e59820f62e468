"""Single cells: .h5ad files of cells by genes."""
