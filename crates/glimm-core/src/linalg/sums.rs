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
