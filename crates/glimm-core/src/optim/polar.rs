//! Steps along circles.
//!
//! A row l of a factor Lambda gives an effect's variance, l'l, by its length and the correlations by its direction.
//! Where another effect hardly varies the direction is hardly known, and the likelihood has a curved ridge, l'l
//! constant, along which straight steps have to be short. So rows move in polar coordinates around where they are:
//! with u = l / |l| and a step d = s u + t, t orthogonal to u,
//!
//! ```text
//! l(d) = (|l| + s) (u cos(|t| / |l|) + t / |t| sin(|t| / |l|))
//! ```
//!
//! which is l + d to first order. Second derivatives along d gain those of l(d): t (2 s) / |l| - u |t|^2 / |l|.

use std::ops::Range;

/// Rows shorter than this move in straight lines: they have no direction to speak of.
const SHORT: f64 = 0.02;
/// Angle beyond which a step is a straight line too.
const WIDE: f64 = 1.5;

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// psi moved by `step`, along circles in the `rows`.
pub fn moved(psi: &[f64], step: &[f64], rows: &[Range<usize>]) -> Vec<f64> {
    let mut out: Vec<f64> = psi.iter().zip(step).map(|(x, d)| x + d).collect();
    for row in rows {
        let (l, d) = (&psi[row.clone()], &step[row.clone()]);
        let radius = length(l);
        if radius < SHORT {
            continue;
        }
        let outward = l.iter().zip(d).map(|(l, d)| l * d).sum::<f64>() / radius;
        let around: Vec<f64> = l.iter().zip(d).map(|(l, d)| d - outward * l / radius).collect();
        let arc = length(&around);
        let angle = arc / radius;
        if angle == 0.0 || angle > WIDE || outward < -0.9 * radius {
            continue;
        }
        let (cos, sin) = (libm::cos(angle), libm::sin(angle));
        for ((out, l), t) in out[row.clone()].iter_mut().zip(l).zip(around) {
            *out = (radius + outward) * (l / radius * cos + t / arc * sin);
        }
    }
    out
}

/// The negative Hessian `h` in these coordinates at `psi`, where the gradient is `g`.
pub fn bend(h: &mut [f64], g: &[f64], psi: &[f64], rows: &[Range<usize>]) {
    let p = g.len();
    for row in rows {
        let radius = length(&psi[row.clone()]);
        if radius < SHORT {
            continue;
        }
        let u: Vec<f64> = psi[row.clone()].iter().map(|l| l / radius).collect();
        let outward: f64 = u.iter().zip(&g[row.clone()]).map(|(u, g)| u * g).sum();
        let around: Vec<f64> = u.iter().zip(&g[row.clone()]).map(|(u, g)| g - outward * u).collect();
        for (a, i) in row.clone().enumerate() {
            for (b, j) in row.clone().enumerate() {
                let across = f64::from(u8::from(a == b)) - u[a] * u[b];
                h[i * p + j] += (outward * across - u[a] * around[b] - around[a] * u[b]) / radius;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bent Hessian is the second derivative of a quadratic along `moved`.
    #[test]
    fn bent_curvature_is_that_along_the_circle() {
        let psi = [0.3, -0.7, 0.5, 1.1];
        let rows = std::slice::from_ref(&(1..4));
        let a = [2.0, 0.3, -0.2, 0.5, 0.3, 1.5, 0.4, 0.1, -0.2, 0.4, 1.2, -0.3, 0.5, 0.1, -0.3, 0.9];
        let value = |x: &[f64]| {
            let quadratic: f64 = (0..16).map(|k| a[k] * x[k / 4] * x[k % 4]).sum();
            quadratic + x[1] * x[2] * x[3]
        };
        let gradient: Vec<f64> = (0..4)
            .map(|i| {
                let d = |h: f64| {
                    let mut x = psi;
                    x[i] += h;
                    value(&x)
                };
                (d(1e-5) - d(-1e-5)) / 2e-5
            })
            .collect();
        let mut h = [0.0; 16];
        (0..16).for_each(|k| h[k] = -2.0 * a[k]);
        for (i, j, k) in [(1, 2, 3), (1, 3, 2), (2, 3, 1)] {
            h[i * 4 + j] -= psi[k];
            h[j * 4 + i] -= psi[k];
        }
        bend(&mut h, &gradient, &psi, rows);
        for d in [[0.2, -0.4, 0.7, 0.1], [0.0, 1.0, 0.2, -0.3], [0.5, 0.1, 0.1, 0.9]] {
            let along = |s: f64| value(&moved(&psi, &d.map(|x| s * x), rows));
            let numeric = (along(1e-3) - 2.0 * along(0.0) + along(-1e-3)) / 1e-6;
            let exact: f64 = -(0..16).map(|k| h[k] * d[k / 4] * d[k % 4]).sum::<f64>();
            assert!((numeric - exact).abs() < 1e-5 * exact.abs().max(1.0), "{numeric} {exact}");
        }
    }
}
