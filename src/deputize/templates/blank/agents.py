"""Who acts."""

from deputize import agent

host = agent("host", may=["notebook.write"])
