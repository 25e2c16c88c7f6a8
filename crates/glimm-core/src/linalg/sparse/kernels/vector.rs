//! Loops over vectors.

/// Run a loop compiled for the widest vectors there are. Products and sums stay apart (no fused
/// operations), so that the width does not change a bit.
#[inline(always)]
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// `y += f x`.
#[inline(always)]
pub fn axpy(f: f64, x: &[f64], y: &mut [f64]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += f * x;
    }
}

/// Lanes of independent sums, so that a dot product is not one chain of additions.
const LANES: usize = 8;

#[inline(always)]
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (x_body, x_tail) = x.as_chunks::<LANES>();
    let (y_body, y_tail) = y.as_chunks::<LANES>();
    for (x, y) in x_body.iter().zip(y_body) {
        for l in 0..LANES {
            lanes[l] += x[l] * y[l];
        }
    }
    let tail: f64 = x_tail.iter().zip(y_tail).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + tail
}

/// `y += f a` and returns `a'x`: one pass over a column of a symmetric matrix.
#[inline(always)]
pub fn axpy_dot(f: f64, a: &[f64], x: &[f64], y: &mut [f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a_body, a_tail) = a.as_chunks::<LANES>();
    let (x_body, x_tail) = x.as_chunks::<LANES>();
    let (y_body, y_tail) = y.as_chunks_mut::<LANES>();
    for ((a, x), y) in a_body.iter().zip(x_body).zip(y_body) {
        for l in 0..LANES {
            y[l] += f * a[l];
            lanes[l] += a[l] * x[l];
        }
    }
    let mut tail = 0.0;
    for ((a, x), y) in a_tail.iter().zip(x_tail).zip(y_tail) {
        *y += f * a;
        tail += a * x;
    }
    lanes.iter().sum::<f64>() + tail
}

/// `x *= f`.
#[inline(always)]
pub fn scale(f: f64, x: &mut [f64]) {
    x.iter_mut().for_each(|x| *x *= f);
}
