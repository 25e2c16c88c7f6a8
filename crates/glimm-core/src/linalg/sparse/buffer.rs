//! Storage of fixed alignment.

/// Bytes; a cache line, and the widest vector register.
const ALIGNMENT: usize = 64;

/// Zeros that start on a cache line. Vector kernels are free to treat an unaligned head apart, and
/// rounding must not be up to the allocator.
#[derive(Default)]
pub struct Buffer {
    data: Vec<f64>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub fn new(len: usize) -> Self {
        let data = vec![0.0; len + ALIGNMENT / size_of::<f64>()];
        let start = data.as_ptr().align_offset(ALIGNMENT);
        Self { data, start, len }
    }

    /// Make room for `len` values; what was stored is lost if it had to grow.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::new(len);
        }
    }

    pub fn get(&self) -> &[f64] {
        &self.data[self.start..self.start + self.len]
    }

    pub fn get_mut(&mut self) -> &mut [f64] {
        &mut self.data[self.start..self.start + self.len]
    }
}
