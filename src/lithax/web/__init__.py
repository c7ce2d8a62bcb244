"""Images in a browser, served to this machine alone."""

from lithax.web._served_image import ServedImage as ServedImage
from lithax.web._server import LoopbackServer as LoopbackServer
from lithax.web._view import serve as serve
