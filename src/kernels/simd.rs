//! Compiling a plain loop for the instruction sets of the machine that it runs on.

/// Defines a function whose body is compiled for the baseline and, on x86-64, for AVX2 with FMA and for AVX-512; the widest that
/// the processor has is chosen at each call. The result may differ in the last bit between machines, never between calls.
macro_rules! wide {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn body($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $ty),*) { body($($arg),*) }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
                fn avx512($($arg: $ty),*) { body($($arg),*) }

                if $crate::kernels::simd::has_avx512() {
                    // SAFETY: the processor has every feature that the function was compiled for.
                    return unsafe { avx512($($arg),*) };
                }
                if $crate::kernels::simd::has_avx2() {
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use wide;

/// Asks for `values` from memory, where the processor can be asked.
#[inline(always)]
pub fn prefetch<E>(values: &[E]) {
    #[cfg(target_arch = "x86_64")]
    ask::<E, { std::arch::x86_64::_MM_HINT_T0 }>(values);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// The same for what is used so much later that it would only push other values out of the nearest cache.
#[inline(always)]
pub fn prefetch_for_later<E>(values: &[E]) {
    #[cfg(target_arch = "x86_64")]
    ask::<E, { std::arch::x86_64::_MM_HINT_T1 }>(values);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn ask<E, const HINT: i32>(values: &[E]) {
    for i in (0..values.len()).step_by(LINE / size_of::<E>()) {
        // SAFETY: i is less than the length; a hint reads nothing, and SSE is part of x86-64.
        unsafe { std::arch::x86_64::_mm_prefetch::<HINT>(values.as_ptr().add(i).cast()) };
    }
}

/// Bytes that come from memory together.
#[cfg(target_arch = "x86_64")]
pub const LINE: usize = 64;

/// Whether AVX2, FMA and the f16 conversions are there.
#[cfg(target_arch = "x86_64")]
pub fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Whether the AVX-512 subsets of server processors since 2017 are there.
#[cfg(target_arch = "x86_64")]
pub fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
}

/// Whether AVX-512 has its instructions for neural networks, too.
#[cfg(target_arch = "x86_64")]
pub fn has_avx512_vnni() -> bool {
    has_avx512() && is_x86_feature_detected!("avx512vnni")
}
