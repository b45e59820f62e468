"""`python -m mtl_cli`: the `mtl` command without its script."""

from mtl_cli.cli.main import main

main()
