"""Who acts."""

from deputize import agent

clerk = agent("clerk")
