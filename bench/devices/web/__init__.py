"""Any phone's browser as a device: a page that this computer serves, which measures and sends what it measured.

`gathering` opens the server and yields each phone that comes; the rest of this folder is what it is made of.
"""
