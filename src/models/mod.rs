//! The model catalogue, synthetic weights, pictures, and the SavedModels that the lab builds.

pub mod hdf5;
pub mod jpeg;
