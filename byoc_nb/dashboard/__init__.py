"""The live dashboard of `%byoc serve`: pictures, parameters, figures and errors over a WebSocket of the server.

Everything travels over that one connection, which the server's own thread serves: a cell that blocks the kernel stops
nothing of it. `widget` only puts the page's side into the notebook.
"""
