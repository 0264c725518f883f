from deputize import agent

desk = agent("desk")
auditor = agent("auditor")
