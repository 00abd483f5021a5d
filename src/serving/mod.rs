//! The model server: TensorFlow Serving 2.5.1's REST and gRPC interfaces on SavedModels.
