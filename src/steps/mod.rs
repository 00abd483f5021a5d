//! One file a step kind: how it looks at the world, changes it and judges it.
