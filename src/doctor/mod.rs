//! Checks of this machine and the table of reasons that every failure is explained from.
