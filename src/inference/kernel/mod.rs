//! The compute core: packed matrix products on all cores, and the only `unsafe` of the crate.
//!
//! Everything heavy in a network is a product of many rows (pixels) with one matrix (weights). [`multiply`] does it, and
//! [`filter`] the same for 3x3 windows, whose sums Winograd's algorithm makes of fewer products:
//! weights lie packed in panels as wide as two vector registers, rows are copied in small blocks next to each other
//! (that copy is also where a convolution gathers its window), and a tile of up to 14 rows by one panel stays
//! in registers from the first to the last term. The sum of an element always runs over the terms in the same order,
//! so neither the tile it falls into, nor the thread, nor its neighbours in the batch change its bits.
//!
//! # Why the unsafe code here is sound
//!
//! There are six uses of `unsafe`, all private to this module; what it exports is safe.
//!
//! 1. *Vector instructions* (`avx512.rs`, `avx2.rs`). A function compiled for an instruction set may run only on a
//!    processor that has it. The functions are reachable only through [`Instructions`], whose vector values come from
//!    `detect`, which asks the processor.
//! 2. *Raw pointers in tiles*. A tile function reads `rows × depth` floats at a stride, one panel, one bias panel, and
//!    reads and writes `rows × panel width` floats of the output. `tile::compute` checks each of these
//!    extents against the slices it was given before it makes pointers of them, in release builds too: a tile is
//!    tens of thousands of multiplications, so the checks cost nothing.
//! 3. *Sharing with the workers* (`pool.rs`, `product.rs`). Workers outlive a call, so the job they are handed has its
//!    lifetime erased; [`Pool::run`] does not return, even by panic, before the last worker has left the job and the
//!    job can no longer be picked up. The output is written by several threads at once: the grid of units partitions
//!    its rows and panels (in `winograd.rs` its tiles and panels), and a counter hands each unit out once, so no element
//!    is written by two threads, and none is read by another thread before `run` has returned.
//! 4. *Transformations* (`winograd.rs`, with the vectors of `lanes.rs`) read and write pixels and results through pointers.
//!    `transform_pixels` and `finish_tile` make those pointers, from slices whose extents they check in release builds
//!    too; the functions of [`Lanes`](lanes::Lanes) are inlined into functions compiled for the instruction set that
//!    `detect` found.
//! 5. *Advice about pages* (`memory.rs`) is a system call on a range inside a live allocation; the advice it gives changes
//!    neither what the memory holds nor whether it may be used.
//! 6. *A setting of the allocator* (`memory.rs`) is a call into the C library with two integers; it takes the allocator's
//!    own lock and concerns only where later blocks come from.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod lanes;
mod memory;
mod pool;
mod portable;
mod product;
mod tile;
mod winograd;

pub(crate) use memory::{give_back_large_blocks, zeros};
pub(crate) use pool::Pool;
pub(crate) use product::{Epilogue, PackedMatrix, RowSource, multiply};
pub(crate) use tile::{Activation, Instructions};
pub(crate) use winograd::{Pictures, Scheme, TransformedFilters, filter};
