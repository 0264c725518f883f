from deputize import agent

worker = agent("worker", concurrent_max=1_000)
