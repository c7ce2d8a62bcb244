"""A picture of a report."""

import base64
from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A picture that can stand in a page by itself."""

    name: str
    alternative: str
    """What it shows, in words, for those who cannot see it."""
    format: str
    data: bytes

    @property
    def uri(self) -> str:
        """The picture as an address that holds it."""
        kind = "svg+xml" if self.format == "svg" else "png"
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode('ascii')}"
