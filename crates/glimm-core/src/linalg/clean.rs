//! What faer's kernels leave behind.

/// Runs `work`, which calls faer, and clears the upper halves of the vector registers.
///
/// faer's products are written by hand in assembly and leave these halves in use. Until something clears them every
/// scalar instruction compiled for any machine waits for them.
pub fn clean<R>(work: impl FnOnce() -> R) -> R {
    let done = work();
    #[cfg(target_arch = "x86_64")]
    if let Some(avx) = pulp::core_arch::x86::Avx::try_new() {
        avx._mm256_zeroupper();
    }
    done
}
