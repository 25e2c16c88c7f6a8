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
    of(a, |x| x)
}

/// The sum of `f` over `a`.
#[inline(always)]
pub fn of(a: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let (a4, a1) = a.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for x in a4 {
        for l in 0..4 {
            lanes[l] += f(x[l]);
        }
    }
    a1.iter().fold(fold(lanes), |sum, x| sum + f(*x))
}

/// The least and the largest number.
pub fn ends(a: &[f64]) -> (f64, f64) {
    let (a4, a1) = a.as_chunks::<4>();
    let (mut low, mut high) = ([f64::INFINITY; 4], [f64::NEG_INFINITY; 4]);
    for x in a4 {
        for l in 0..4 {
            low[l] = if x[l] < low[l] { x[l] } else { low[l] };
            high[l] = if x[l] > high[l] { x[l] } else { high[l] };
        }
    }
    let all = |lanes: [f64; 4]| lanes.into_iter().chain(a1.iter().copied());
    (all(low).fold(f64::INFINITY, f64::min), all(high).fold(f64::NEG_INFINITY, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_sums_take_every_number() {
        for n in 1..12 {
            let a: Vec<f64> = (0..n).map(|i| f64::from(i * 7 % 11) - 4.0).collect();
            let sorted = |pick: fn(f64, f64) -> f64| a.iter().copied().reduce(pick);
            assert_eq!((Some(ends(&a).0), Some(ends(&a).1)), (sorted(f64::min), sorted(f64::max)));
            assert_eq!(of(&a, |x| 2.0 * x), 2.0 * a.iter().sum::<f64>());
        }
    }
}
