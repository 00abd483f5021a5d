//! What a person sees: lines, live progress, tables and failures on a terminal, in a pipe or in a log.
