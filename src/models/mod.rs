//! The models that the lab serves: catalogue, networks, synthetic weights, pictures and requests.
//!
//! [`catalogue`] says which models there are and where their weights come from; [`network`] knows their layers and
//! writes TensorFlow's graph; [`synthetic`] makes weights out of integers, the same on every machine, and writes whole
//! SavedModels; [`hdf5`] reads the weights that Keras saved; [`picture`], [`jpeg`] and [`payload`] make a request out of
//! a picture. Used by the lab's steps and by the commands; serving and inference know nothing of it.

pub mod catalogue;
pub mod hdf5;
pub mod inspection;
pub mod jpeg;
pub mod network;
pub mod payload;
pub mod picture;
pub mod prediction;
pub mod synthetic;
