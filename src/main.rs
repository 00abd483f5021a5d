//! The `canary-lab` command.

fn main() {}
