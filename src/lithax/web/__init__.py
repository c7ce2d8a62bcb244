"""Images in a browser, served to this machine alone."""

from lithax.web._browser import open_in_browser as open_in_browser
from lithax.web._browser import redirect_file as redirect_file
from lithax.web._served_image import ServedImage as ServedImage
from lithax.web._server import LoopbackServer as LoopbackServer
from lithax.web._view import serve as serve
