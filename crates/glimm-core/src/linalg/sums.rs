//! Sums in a fixed order with four lanes: they vectorise and repeat bit for bit.

#[inline(always)]
fn fold(lanes: [f64; 4]) -> f64 {
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let b = &b[..a.len()];
    let ((a4, a1), (b4, b1)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut lanes = [0.0; 4];
    for (x, y) in a4.iter().zip(b4) {
        for l in 0..4 {
            lanes[l] += x[l] * y[l];
        }
    }
    a1.iter().zip(b1).fold(fold(lanes), |sum, (x, y)| sum + x * y)
}

#[inline(always)]
pub fn dot3(a: &[f64], b: &[f64], c: &[f64]) -> f64 {
    let (b, c) = (&b[..a.len()], &c[..a.len()]);
    let ((a4, a1), (b4, b1), (c4, c1)) = (a.as_chunks::<4>(), b.as_chunks::<4>(), c.as_chunks::<4>());
    let mut lanes = [0.0; 4];
    for ((x, y), z) in a4.iter().zip(b4).zip(c4) {
        for l in 0..4 {
            lanes[l] += x[l] * y[l] * z[l];
        }
    }
    a1.iter().zip(b1).zip(c1).fold(fold(lanes), |sum, ((x, y), z)| sum + x * y * z)
}

#[inline(always)]
pub fn total(a: &[f64]) -> f64 {
    let (a4, a1) = a.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for x in a4 {
        for l in 0..4 {
            lanes[l] += x[l];
        }
    }
    a1.iter().fold(fold(lanes), |sum, x| sum + x)
}
