//! What a home remembers: the versioned state file, its lock, the inventory of objects and the history of runs.
