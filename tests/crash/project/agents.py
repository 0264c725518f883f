from deputize import agent

desk = agent("desk")
