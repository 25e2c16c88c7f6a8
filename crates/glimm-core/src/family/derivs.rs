//! Storage of row derivatives by component, so that loops over rows vectorise.

/// Which derivatives a caller wants: with respect to the first `dims` predictors, up to `order`
/// (1 to 4). `value` asks for the log density itself, which a Newton step does not need.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub dims: usize,
    pub order: usize,
    pub value: bool,
}

/// Number of distinct partial derivatives of exactly `order` in `dims` variables: C(dims+order-1, order).
pub const fn component_count(dims: usize, order: usize) -> usize {
    let (mut num, mut den, mut i) = (1, 1, 0);
    while i < order {
        num *= dims + i;
        den *= i + 1;
        i += 1;
    }
    num / den
}

/// Where the partial derivative along the sorted multi-index `index` stands among all components,
/// the value first, then orders 1, 2, ... each in lexicographic order of sorted indices
/// (two predictors: f, 0, 1, 00, 01, 11, 000, 001, 011, 111, ...).
pub fn component_offset(dims: usize, index: &[usize]) -> usize {
    let mut offset: usize = (0..index.len()).map(|o| component_count(dims, o)).sum();
    let mut low = 0;
    for (depth, &i) in index.iter().enumerate() {
        debug_assert!(i >= low && i < dims, "multi-index must be sorted and below dims");
        for skipped in low..i {
            offset += component_count(dims - skipped, index.len() - depth - 1);
        }
        low = i;
    }
    offset
}

/// Row derivatives of the log density, one contiguous run of rows for each component.
#[derive(Default)]
pub struct Derivs {
    dims: usize,
    len: usize,
    data: Vec<f64>,
}

impl Derivs {
    /// Makes room for `len` rows and all components up to `order` in `dims` predictors. Contents are unspecified.
    pub fn reshape(&mut self, dims: usize, order: usize, len: usize) {
        let components: usize = (0..=order).map(|o| component_count(dims, o)).sum();
        self.dims = dims;
        self.len = len;
        if self.data.len() < components * len {
            self.data.resize(components * len, 0.0);
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Log density, one per row.
    pub fn value(&self) -> &[f64] {
        &self.data[..self.len]
    }

    /// The partial derivative along a sorted multi-index, such as `&[0, 0, 1]`.
    pub fn get(&self, index: &[usize]) -> &[f64] {
        self.component(component_offset(self.dims, index))
    }

    pub fn component(&self, c: usize) -> &[f64] {
        &self.data[c * self.len..(c + 1) * self.len]
    }

    pub fn component_mut(&mut self, c: usize) -> &mut [f64] {
        &mut self.data[c * self.len..(c + 1) * self.len]
    }

    /// The first `N` components at once, for a family that fills them in one loop.
    pub fn columns<const N: usize>(&mut self) -> [&mut [f64]; N] {
        let mut rest = self.data.as_mut_slice();
        std::array::from_fn(|_| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(self.len);
            rest = tail;
            head
        })
    }
}

impl Derivs {
    /// Multiplies every row by its frequency weight.
    pub fn weigh(&mut self, freq: &[f64], want: Want) {
        let components: usize = (0..=want.order).map(|o| component_count(self.dims, o)).sum();
        for c in usize::from(!want.value)..components {
            for (d, w) in self.component_mut(c).iter_mut().zip(freq) {
                *d *= w;
            }
        }
    }
}
