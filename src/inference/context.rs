//! What an op may use while it runs: the threads, and memory that earlier ops have given back.

use std::sync::{Arc, Mutex, PoisonError};

use super::constant::{MAX_TENSOR_BYTES, Value};
use super::kernel::{Pool, zeros};
use super::status::{RunError, StatusCode};
use super::tensor::{Tensor, TensorData, element_count, shape_text};
use crate::savedmodel::proto::DataType;

/// The threads and buffers of a session.
pub(crate) struct Context {
    /// The threads; a run holds a turn of it.
    pub(crate) pool: Arc<Pool>,
    free: Mutex<Vec<Vec<f32>>>,
    /// Bytes of free buffers that may be kept.
    keep: usize,
}

/// Buffers shorter than this are left to the system's allocator.
const MIN_KEPT: usize = 4096;

impl Context {
    /// A context that keeps at most `keep` bytes of free buffers.
    pub(crate) fn new(pool: Arc<Pool>, keep: usize) -> Self {
        Self { pool, free: Mutex::default(), keep }
    }

    /// The number of elements of a tensor that an op is about to make, if it may have that many.
    pub(crate) fn allowed(shape: &[usize], dtype: DataType) -> Result<usize, RunError> {
        let width = dtype.size().unwrap_or(size_of::<Vec<u8>>());
        element_count(shape)
            .filter(|count| count.checked_mul(width).is_some_and(|bytes| bytes <= MAX_TENSOR_BYTES))
            .ok_or_else(|| {
                let (shape, dtype) = (shape_text(shape), dtype.short_name());
                let text = format!("OOM when allocating tensor with shape{shape} and type {dtype}");
                RunError::new(StatusCode::ResourceExhausted, text)
            })
    }

    /// A buffer for `shape` with unspecified contents: the smallest free one that holds it, or new memory.
    pub(crate) fn floats(&self, shape: &[usize]) -> Result<Vec<f32>, RunError> {
        let count = Self::allowed(shape, DataType::DtFloat)?;
        if count >= MIN_KEPT {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = free.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= count);
            if let Some(best) = fits.min_by_key(|(_, buffer)| buffer.capacity()).map(|(index, _)| index)
                && free[best].capacity() <= count.saturating_mul(4)
            {
                let mut buffer = free.swap_remove(best);
                buffer.resize(count, 0.0);
                return Ok(buffer);
            }
            // New memory takes the place of buffers that fit nothing now.
            let room = self.keep.saturating_sub(count.saturating_mul(size_of::<f32>()));
            shrink(&mut free, room);
        }
        Ok(zeros(count))
    }

    /// Takes back the memory of a value that nobody else holds.
    pub(crate) fn recycle(&self, value: Value) {
        if let Some(Tensor { data: TensorData::Float(buffer), .. }) = Arc::into_inner(value)
            && buffer.capacity() >= MIN_KEPT
        {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }

    /// Gives free buffers beyond the bound back to the system; called between runs.
    pub(crate) fn trim(&self) {
        shrink(&mut self.free.lock().unwrap_or_else(PoisonError::into_inner), self.keep);
    }
}

/// Keeps at most `bytes` of buffers, the largest going first.
fn shrink(free: &mut Vec<Vec<f32>>, bytes: usize) {
    free.sort_unstable_by_key(Vec::capacity);
    let mut held: usize = free.iter().map(|buffer| buffer.capacity() * size_of::<f32>()).sum();
    while held > bytes {
        let Some(buffer) = free.pop() else { break };
        held -= buffer.capacity() * size_of::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_holder_lets_go() {
        let context = Context::new(Pool::of_threads(1), 1 << 20);
        let buffer = context.floats(&[5000]).unwrap();
        let place = buffer.as_ptr();
        let value = Arc::new(Tensor::floats(&[5000], buffer).unwrap());
        let other = Arc::clone(&value);
        context.recycle(value);
        let second = context.floats(&[5000]).unwrap();
        assert_ne!(second.as_ptr(), place);
        context.recycle(other);
        let again = context.floats(&[4500]).unwrap();
        assert_eq!((again.as_ptr(), again.len()), (place, 4500));
        context.recycle(Arc::new(Tensor::floats(&[4500], again).unwrap()));
        // Asking for more than the whole bound leaves no room for free buffers.
        drop(context.floats(&[1 << 18]).unwrap());
        assert!(context.free.lock().unwrap().is_empty());
    }

    #[test]
    fn a_tensor_beyond_the_bound_is_refused() {
        let context = Context::new(Pool::of_threads(1), 0);
        let error = context.floats(&[1 << 20, 1 << 20]).unwrap_err();
        assert_eq!(error.code, StatusCode::ResourceExhausted);
        assert_eq!(error.message, "OOM when allocating tensor with shape[1048576,1048576] and type float");
        assert!(context.floats(&[usize::MAX, 3]).is_err());
    }
}
