//! Vectors of floats as values, one type for each instruction set, for code that is written once for all of them.

// Only a function that is inlined takes on the instruction set of its caller; see `Lanes`.
#![allow(clippy::inline_always)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps,
    _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::tile::Activation;

/// Some floats that are computed with at once.
///
/// All functions are inlined into one that is compiled for the instruction set; called from anywhere else they would be
/// undefined on a processor without it.
///
/// # Safety
///
/// Every function needs the instruction set of its type; pointers need [`Lanes::COUNT`] floats behind them.
pub(super) trait Lanes: Copy {
    /// How many floats.
    const COUNT: usize;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + summand`, rounded once where the processor can.
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The larger one, or `self` where that is not a number.
    unsafe fn at_least(self, least: Self) -> Self;
    /// The smaller one, or `self` where that is not a number.
    unsafe fn at_most(self, most: Self) -> Self;

    /// Applies an activation.
    #[inline(always)]
    unsafe fn activate(self, activation: Activation) -> Self {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            match activation {
                Activation::None => self,
                Activation::Relu => self.at_least(Self::splat(0.0)),
                Activation::Relu6 => self.at_least(Self::splat(0.0)).at_most(Self::splat(6.0)),
            }
        }
    }
}

macro_rules! vector {
    ($type:ty, $count:literal: $load:ident $store:ident $splat:ident $add:ident $sub:ident $mul:ident $fma:ident $max:ident $min:ident) => {
        #[cfg(target_arch = "x86_64")]
        impl Lanes for $type {
            const COUNT: usize = $count;
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: as the trait says; so for all below.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: see `load`.
                unsafe { $store(to, self) }
            }
            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: see `load`.
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: see `load`.
                unsafe { $add(self, other) }
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                // SAFETY: see `load`.
                unsafe { $sub(self, other) }
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                // SAFETY: see `load`.
                unsafe { $mul(self, other) }
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
                // SAFETY: see `load`.
                unsafe { $fma(self, factor, summand) }
            }
            // The instructions give their second operand when one is not a number.
            #[inline(always)]
            unsafe fn at_least(self, least: Self) -> Self {
                // SAFETY: see `load`.
                unsafe { $max(least, self) }
            }
            #[inline(always)]
            unsafe fn at_most(self, most: Self) -> Self {
                // SAFETY: see `load`.
                unsafe { $min(most, self) }
            }
        }
    };
}

vector!(__m512, 16: _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_fmadd_ps _mm512_max_ps _mm512_min_ps);
vector!(__m256, 8: _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_fmadd_ps _mm256_max_ps _mm256_min_ps);

impl Lanes for [f32; 4] {
    const COUNT: usize = 4;
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for four floats; no alignment is assumed.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as for `load`.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * other[lane])
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * factor[lane] + summand[lane])
    }
    #[inline(always)]
    unsafe fn at_least(self, least: Self) -> Self {
        std::array::from_fn(|lane| if self[lane] < least[lane] { least[lane] } else { self[lane] })
    }
    #[inline(always)]
    unsafe fn at_most(self, most: Self) -> Self {
        std::array::from_fn(|lane| if self[lane] > most[lane] { most[lane] } else { self[lane] })
    }
}
