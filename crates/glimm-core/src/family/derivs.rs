//! Storage of row derivatives by component, so that loops over rows vectorise.

/// Which derivatives a caller wants: with respect to the first `dims` predictors, up to `order`
/// (1 to 4, or 0 for the log density alone). `value` asks for the log density itself, which a Newton step does not need.
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
    #[inline]
    pub fn get(&self, index: &[usize]) -> &[f64] {
        if self.dims == 1 {
            return self.component(index.len());
        }
        self.component(component_offset(self.dims, index))
    }

    #[inline]
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
    /// Multiplies every row by its weight. Rows of weight zero are zero even where the density is not finite.
    pub fn weigh(&mut self, freq: &[f64], want: Want) {
        let components: usize = (0..=want.order).map(|o| component_count(self.dims, o)).sum();
        for c in usize::from(!want.value)..components {
            for (d, w) in self.component_mut(c).iter_mut().zip(freq) {
                *d = if *w == 0.0 { 0.0 } else { *d * w };
            }
        }
    }
}

/// Where the components in the first `dims` of `all` predictors stand among those in all of them, up to `order`.
pub(super) fn places(dims: usize, all: usize, order: usize) -> Vec<usize> {
    fn walk(dims: usize, all: usize, index: &mut Vec<usize>, length: usize, out: &mut Vec<usize>) {
        if index.len() == length {
            return out.push(component_offset(all, index));
        }
        for next in index.last().copied().unwrap_or(0)..dims {
            index.push(next);
            walk(dims, all, index, length, out);
            index.pop();
        }
    }
    let mut out = Vec::new();
    (0..=order).for_each(|length| walk(dims, all, &mut Vec::new(), length, &mut out));
    out
}

/// For every component up to `order`: itself and its derivatives in predictor 0, one after another.
pub fn chains(dims: usize, order: usize) -> Vec<Vec<usize>> {
    fn walk(dims: usize, index: &mut Vec<usize>, order: usize, out: &mut Vec<Vec<usize>>) {
        let further = |zeros: usize| {
            let longer: Vec<usize> = std::iter::repeat_n(0, zeros).chain(index.iter().copied()).collect();
            component_offset(dims, &longer)
        };
        out.push((0..=order - index.len()).map(further).collect());
        if index.len() < order {
            for next in index.last().copied().unwrap_or(0)..dims {
                index.push(next);
                walk(dims, index, order, out);
                index.pop();
            }
        }
    }
    let mut out = Vec::new();
    walk(dims, &mut Vec::new(), order, &mut out);
    out.sort_unstable();
    out
}

impl Derivs {
    /// Moves the first component of `chain` at `rows` by `delta` in predictor 0, by its Taylor series.
    #[inline(always)]
    pub fn shift(&mut self, chain: &[usize], rows: std::ops::Range<usize>, delta: &[f64]) {
        match chain.len() {
            2 => self.shift_by::<1>(chain, rows, delta),
            3 => self.shift_by::<2>(chain, rows, delta),
            4 => self.shift_by::<3>(chain, rows, delta),
            5 => self.shift_by::<4>(chain, rows, delta),
            _ => {}
        }
    }

    /// With N derivatives: f + d (f' + d / 2 (f'' + d / 3 (...))).
    #[inline(always)]
    fn shift_by<const N: usize>(&mut self, chain: &[usize], rows: std::ops::Range<usize>, delta: &[f64]) {
        let (len, n) = (self.len, delta.len());
        // Components stand in ascending order along a chain.
        let (head, tail) = self.data.split_at_mut((chain[0] + 1) * len);
        let target = &mut head[chain[0] * len + rows.start..][..n];
        let mut sources: [&[f64]; N] = [&[]; N];
        for power in 0..N {
            sources[power] = &tail[(chain[power + 1] - chain[0] - 1) * len + rows.start..][..n];
        }
        for i in 0..n {
            let mut sum = 0.0;
            for power in (0..N).rev() {
                sum = (sources[power][i] + sum) * (delta[i] * (1.0 / (power + 1) as f64));
            }
            target[i] += sum;
        }
    }
}
