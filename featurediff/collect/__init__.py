"""
From two models, an SAE and two prompt files to a source that the dashboard opens.

`settings` is what a user asks for, `planning` reads and checks it, `run` does it. `prompts` reads the files, `chat`
makes token sequences of them and finds the `positions` to read; `models` and `saes` load what does the work, and
`encoder` does it; `shards` cuts it into pieces that survive a crash, and `cluster` spreads the pieces over a Ray
cluster; `statistics` and `output` make the files, and `origin` says in them how they were made. Outside this room only
`featurediff/cli/collect.py` imports any of it, when it is called.
"""
