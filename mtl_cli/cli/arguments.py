"""What the subcommands with fixed arguments share."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def notice(line: str) -> None:
    """Print a line that the user should see."""
    print(f"note: {line}", file=sys.stderr)
