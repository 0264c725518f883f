from deputize import agent

clerk = agent("clerk")
