//! Column-major blocks.

use faer::{MatMut, MatRef};

#[derive(Clone, Copy)]
pub struct Block<'a> {
    pub data: &'a [f64],
    pub rows: usize,
    pub cols: usize,
}

pub struct BlockMut<'a> {
    pub data: &'a mut [f64],
    pub rows: usize,
    pub cols: usize,
}

impl<'a> Block<'a> {
    #[inline]
    pub fn new(data: &'a [f64], rows: usize, cols: usize) -> Self {
        Self { data: &data[..rows * cols], rows, cols }
    }

    #[inline]
    pub fn col(&self, j: usize) -> &'a [f64] {
        &self.data[j * self.rows..][..self.rows]
    }

    pub(super) fn mat(&self) -> MatRef<'a, f64> {
        MatRef::from_column_major_slice(self.data, self.rows, self.cols)
    }
}

impl<'a> BlockMut<'a> {
    #[inline]
    pub fn new(data: &'a mut [f64], rows: usize, cols: usize) -> Self {
        Self { data: &mut data[..rows * cols], rows, cols }
    }

    #[inline]
    pub fn col_mut(&mut self, j: usize) -> &mut [f64] {
        &mut self.data[j * self.rows..][..self.rows]
    }

    #[inline]
    pub fn as_block(&self) -> Block<'_> {
        Block { data: self.data, rows: self.rows, cols: self.cols }
    }

    #[inline]
    pub fn reborrow(&mut self) -> BlockMut<'_> {
        BlockMut { data: self.data, rows: self.rows, cols: self.cols }
    }

    pub(super) fn mat_mut(&mut self) -> MatMut<'_, f64> {
        MatMut::from_column_major_slice_mut(self.data, self.rows, self.cols)
    }
}
