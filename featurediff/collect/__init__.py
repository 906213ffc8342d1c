"""
From two models, an SAE and two prompt files to a source that the dashboard opens.

`command` is the command line, `run` the whole of it in order. `prompts` reads the files, `chat` makes token sequences
of them and finds the `positions` to read; `models` and `saes` load what does the work, and `encoder` does it; `shards`
cuts it into pieces that survive a crash, and `cluster` spreads the pieces over a Ray cluster; `statistics` and `output`
make the files. Nothing outside this room imports more of it than `command`, which imports the rest when it is called.
"""
