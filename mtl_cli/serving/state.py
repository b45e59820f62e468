"""What the requests of a server share: models, limits, the queue, counters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from mtl_cli.config.errors import UserError
from mtl_cli.config.machine import user_error
from mtl_cli.serving.access import Access
from mtl_cli.serving.batching import Batcher
from mtl_cli.serving.body import Held
from mtl_cli.serving.limits import Limits
from mtl_cli.serving.metrics import Metrics
from mtl_cli.serving.served import Models


@dataclass
class State:
    """The state of a server.

    Parameters
    ----------
    models : Models
    limits : Limits
    access : Access
    log : callable
        Takes a line for who runs the server.
    threads : int
        Of torch.
    """

    models: Models
    limits: Limits
    access: Access
    log: Callable[[str], None]
    threads: int = 1
    stopping: bool = False
    metrics: Metrics = field(init=False)
    batcher: Batcher = field(init=False)
    held: Held = field(init=False)
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    explaining: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.metrics = Metrics(lambda: len(self.batcher.waiting))
        self.held = Held(self.limits.bodies)
        self.batcher = Batcher(self.limits, self.metrics, self.threads, self.log)

    async def reload(self) -> UserError | None:
        """Load all models again; return what is wrong if that fails, and all stay as they were."""
        async with self.reloading:
            try:
                await asyncio.to_thread(self.models.reload)
            except (UserError, OSError, MemoryError, RuntimeError) as error:
                self.metrics.reloads.labels("failed").inc()
                found = user_error(error)
                self.log(f"not reloaded, the models stay as they were: {found or repr(error)}")
                if found is None:
                    raise
                return found
            self.metrics.reloads.labels("done").inc()
            self.log(f"reloaded {', '.join(self.models.found)}")
            return None
