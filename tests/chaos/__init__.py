"""Kills everything under load and looks for what was lost: `make chaos SEED=n MINUTES=m`.

- `launch`: `make run` with a TCP proxy (`proxy`) between the application and each of its servers;
- `workload`: clients that upload, replace, delete and search, and the `model` of what they were
  told; `contents` makes their documents;
- `faults`: kills, stops and cuts, chosen by the seed;
- `watch`: looks at the database all the while, and at every change that a trigger wrote down;
- `oracle`: compares the model with a `snapshot` of the database, the index and the storage;
- `run` puts them together, `report` prints the figures.
"""
