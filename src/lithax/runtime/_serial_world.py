"""One process on its own."""

from collections.abc import Mapping

from lithax.runtime._abstract_world import AbstractWorld


class SerialWorld(AbstractWorld):
    """One process on its own; the same interface as a world of many."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def _exchange(self, message: bytes) -> list[bytes]:
        return [message]

    def _deliver(self, messages: Mapping[int, bytes], sizes: Mapping[int, int]) -> dict[int, bytes]:
        return {}

    def _post(self, message: bytes) -> None:
        pass

    def _posted(self) -> None:
        return None

    def _leave(self, text: str) -> None:
        pass

    def _left(self) -> None:
        return None
