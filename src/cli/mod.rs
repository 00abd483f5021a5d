//! The commands: one file each. Parses arguments, wires the rooms below together and prints through [`crate::ui`]; it decides nothing about a cluster.
