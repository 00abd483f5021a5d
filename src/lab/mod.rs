//! A lab as data: the schema of `lab.yaml`, its strict loader, and the lab that is embedded in the binary.
