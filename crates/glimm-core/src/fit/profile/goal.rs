//! What is profiled: a scalar function of the user's parameters, with its derivatives.

use crate::linalg::sums::dot;

/// Standard deviations of several parameters (rows of a factor) are followed down to this, where the likelihood differs
/// from that at zero by its square; in units of a standard parameter.
const LEAST_SD: f64 = 1e-4;
/// Angles are followed up to this distance from parallel effects: a correlation of 1 - 5e-7.
const LEAST_ANGLE: f64 = 1e-3;

/// A function g of the user's parameters.
#[derive(Clone, Debug)]
pub enum Goal {
    /// a'psi.
    Linear(Vec<f64>),
    /// The length of a row of a factor, whose parameters these are: a standard deviation.
    Sd(Vec<usize>),
    /// The angle between two rows of a factor: the arc cosine of a correlation.
    Angle(Vec<usize>, Vec<usize>),
    /// The root of a share of a sum of variances.
    Share(Share),
}

/// |r| / sqrt(Q): r is a row of a factor, Q = psi'M psi + sum_j w_j exp(2 psi_j) + constant the sum of which |r|^2 is a
/// part. Its root, unlike the share itself, moves with the parameters where the share is zero.
#[derive(Clone, Debug)]
pub struct Share {
    pub row: Vec<usize>,
    /// (j, k, M_jk), each pair once: M_jk + M_kj where they differ.
    pub products: Vec<(usize, usize, f64)>,
    /// (j, w_j) of variances whose parameter is the log of a standard deviation.
    pub logs: Vec<(usize, f64)>,
    pub constant: f64,
}

/// A goal at one point.
pub struct Local {
    pub value: f64,
    pub gradient: Vec<f64>,
    /// Second derivatives, row by row; none where they vanish.
    pub hessian: Option<Vec<f64>>,
}

impl Goal {
    /// Whether all its parameters exist.
    pub fn fits(&self, p: usize) -> bool {
        match self {
            Goal::Linear(a) => a.len() == p,
            Goal::Sd(row) => !row.is_empty() && row.iter().all(|&j| j < p),
            Goal::Angle(a, b) => !a.is_empty() && !b.is_empty() && a.iter().chain(b).all(|&j| j < p),
            Goal::Share(s) => {
                let products = s.products.iter().flat_map(|&(j, k, _)| [j, k]);
                let all = s.row.iter().copied().chain(products).chain(s.logs.iter().map(|&(j, _)| j));
                !s.row.is_empty() && all.into_iter().all(|j| j < p)
            }
        }
    }

    /// Least and largest value; `unit` is the user's unit of the first parameter in one standard unit.
    pub fn limits(&self, unit: f64) -> [f64; 2] {
        match self {
            Goal::Linear(_) => [f64::NEG_INFINITY, f64::INFINITY],
            Goal::Sd(row) if row.len() == 1 => [0.0, f64::INFINITY],
            Goal::Sd(_) => [LEAST_SD * unit, f64::INFINITY],
            Goal::Angle(..) => [LEAST_ANGLE, std::f64::consts::PI - LEAST_ANGLE],
            Goal::Share(s) if s.row.len() == 1 => [0.0, 1.0],
            Goal::Share(_) => [LEAST_SD, 1.0],
        }
    }

    /// The first parameter it depends on.
    pub fn first(&self) -> usize {
        match self {
            Goal::Linear(a) => a.iter().position(|x| *x != 0.0).unwrap_or(0),
            Goal::Sd(row) => row.last().copied().unwrap_or(0),
            Goal::Angle(a, _) => a.first().copied().unwrap_or(0),
            Goal::Share(s) => s.row.last().copied().unwrap_or(0),
        }
    }

    /// Whether it has a value at `psi`.
    pub fn defined(&self, psi: &[f64]) -> bool {
        match self {
            Goal::Angle(a, b) => length(&pick(psi, a)) > 0.0 && length(&pick(psi, b)) > 0.0,
            Goal::Share(s) => s.total(psi) > 0.0,
            _ => true,
        }
    }

    /// The standard deviations without which it has none: the lengths of an angle's rows.
    pub fn lengths(&self) -> Vec<Goal> {
        match self {
            Goal::Angle(a, b) => vec![Goal::Sd(a.clone()), Goal::Sd(b.clone())],
            _ => Vec::new(),
        }
    }

    /// Parameters from which it can move: parallel rows a little apart.
    pub fn opened(&self, psi: &[f64]) -> Vec<f64> {
        let mut moved = psi.to_vec();
        if let Goal::Angle(a, b) = self {
            let row = if a.len() > b.len() { a } else { b };
            let [low, high] = self.limits(1.0);
            if !(low..=high).contains(&self.value(psi)) {
                moved[row[row.len() - 1]] += 2.0 * LEAST_ANGLE * length(&pick(psi, row));
            }
        }
        moved
    }

    pub fn value(&self, psi: &[f64]) -> f64 {
        match self {
            Goal::Linear(a) => dot(a, psi),
            Goal::Sd(row) if row.len() == 1 => psi[row[0]],
            Goal::Sd(row) => length(&pick(psi, row)),
            Goal::Angle(a, b) => Angle::new(psi, a, b).value(),
            Goal::Share(s) => s.part().value(psi) / s.total(psi).sqrt(),
        }
    }

    pub fn local(&self, psi: &[f64]) -> Local {
        let (p, value) = (psi.len(), self.value(psi));
        let mut gradient = vec![0.0; p];
        match self {
            Goal::Linear(a) => Local { value, gradient: a.clone(), hessian: None },
            Goal::Sd(row) if row.len() == 1 || value == 0.0 => {
                // At a length of zero every direction is as good; the diagonal of the factor has a sign.
                gradient[*row.last().unwrap_or(&0)] = 1.0;
                Local { value, gradient, hessian: None }
            }
            Goal::Sd(row) => {
                let mut hessian = vec![0.0; p * p];
                for &i in row {
                    gradient[i] = psi[i] / value;
                }
                for &i in row {
                    for &j in row {
                        let own = f64::from(u8::from(i == j));
                        hessian[i * p + j] = (own - gradient[i] * gradient[j]) / value;
                    }
                }
                Local { value, gradient, hessian: Some(hessian) }
            }
            Goal::Angle(a, b) => Angle::new(psi, a, b).local(p, a, b),
            Goal::Share(s) => s.local(psi),
        }
    }
}

/// With L = |r| and v = L Q^(-1/2),
///
/// ```text
/// dv = dL Q^(-1/2) - L dQ Q^(-3/2) / 2
/// d2v = d2L Q^(-1/2) - (dL dQ' + dQ dL' + L d2Q) Q^(-3/2) / 2 + 3/4 L dQ dQ' Q^(-5/2)
/// ```
impl Share {
    fn part(&self) -> Goal {
        Goal::Sd(self.row.clone())
    }

    fn total(&self, psi: &[f64]) -> f64 {
        let products: f64 = self.products.iter().map(|&(j, k, m)| m * psi[j] * psi[k]).sum();
        let logs: f64 = self.logs.iter().map(|&(j, w)| w * libm::exp(2.0 * psi[j])).sum();
        self.constant + products + logs
    }

    fn local(&self, psi: &[f64]) -> Local {
        let (p, part, q) = (psi.len(), self.part().local(psi), self.total(psi));
        let (mut first, mut second) = (vec![0.0; p], vec![0.0; p * p]);
        for &(j, k, m) in &self.products {
            first[j] += m * psi[k];
            first[k] += m * psi[j];
            second[j * p + k] += m;
            second[k * p + j] += m;
        }
        for &(j, w) in &self.logs {
            let variance = w * libm::exp(2.0 * psi[j]);
            first[j] += 2.0 * variance;
            second[j * p + j] += 4.0 * variance;
        }
        let [a, b, c] = [1.0 / q.sqrt(), -0.5 / (q * q.sqrt()), 0.75 / (q * q * q.sqrt())];
        let slope = &part.gradient;
        let gradient = (0..p).map(|j| a * slope[j] + b * part.value * first[j]).collect();
        let bend = |j: usize, k: usize| {
            let own = part.hessian.as_ref().map_or(0.0, |h| h[j * p + k]);
            let mixed = slope[j] * first[k] + first[j] * slope[k] + part.value * second[j * p + k];
            a * own + b * mixed + c * part.value * first[j] * first[k]
        };
        let hessian = (0..p * p).map(|at| bend(at / p, at % p)).collect();
        Local { value: a * part.value, gradient, hessian: Some(hessian) }
    }
}

fn pick(psi: &[f64], places: &[usize]) -> Vec<f64> {
    places.iter().map(|&j| psi[j]).collect()
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The angle t of two vectors of lengths a and b and directions u and v, with c = cos t and s = sin t. With the unit
/// vectors p = (v - c u) / s and w = (u - c v) / s the derivatives are
///
/// ```text
/// dt/da = -p / a        d2t/da2 = (u p' + p u' + (c / s) (I - u u' - p p')) / a^2
/// dt/db = -w / b        d2t/dadb' = -((I - v v') / s - u w' + (c / s) p w') / (a b)
/// ```
struct Angle {
    a: f64,
    b: f64,
    u: Vec<f64>,
    v: Vec<f64>,
    p: Vec<f64>,
    w: Vec<f64>,
    c: f64,
    s: f64,
}

impl Angle {
    fn new(psi: &[f64], first: &[usize], second: &[usize]) -> Angle {
        let m = first.len().max(second.len());
        let direction = |places: &[usize]| -> (f64, Vec<f64>) {
            let mut x = pick(psi, places);
            x.resize(m, 0.0);
            let size = length(&x);
            (size, x.iter().map(|x| x / size).collect())
        };
        let ((a, u), (b, v)) = (direction(first), direction(second));
        let c = dot(&u, &v).clamp(-1.0, 1.0);
        let across: Vec<f64> = u.iter().zip(&v).map(|(u, v)| v - c * u).collect();
        let s = length(&across).max(f64::MIN_POSITIVE);
        let p = across.iter().map(|x| x / s).collect();
        let w = u.iter().zip(&v).map(|(u, v)| (u - c * v) / s).collect();
        Angle { a, b, u, v, p, w, c, s }
    }

    fn value(&self) -> f64 {
        libm::atan2(self.s, self.c)
    }

    fn local(&self, p: usize, first: &[usize], second: &[usize]) -> Local {
        let (mut gradient, mut hessian) = (vec![0.0; p], vec![0.0; p * p]);
        first.iter().zip(&self.p).for_each(|(&j, x)| gradient[j] = -x / self.a);
        second.iter().zip(&self.w).for_each(|(&j, x)| gradient[j] = -x / self.b);
        self.own(p, first, &self.u, &self.p, self.a, &mut hessian);
        self.own(p, second, &self.v, &self.w, self.b, &mut hessian);
        for (i, &row) in first.iter().enumerate() {
            for (j, &column) in second.iter().enumerate() {
                let one = f64::from(u8::from(i == j));
                let x = (one - self.v[i] * self.v[j]) / self.s - self.u[i] * self.w[j]
                    + self.c / self.s * self.p[i] * self.w[j];
                hessian[row * p + column] = -x / (self.a * self.b);
                hessian[column * p + row] = hessian[row * p + column];
            }
        }
        Local { value: self.value(), gradient, hessian: Some(hessian) }
    }

    /// The block of one of the vectors.
    fn own(&self, p: usize, places: &[usize], u: &[f64], q: &[f64], size: f64, hessian: &mut [f64]) {
        for (i, &row) in places.iter().enumerate() {
            for (j, &column) in places.iter().enumerate() {
                let one = f64::from(u8::from(i == j));
                let rest = self.c / self.s * (one - u[i] * u[j] - q[i] * q[j]);
                hessian[row * p + column] = (u[i] * q[j] + q[i] * u[j] + rest) / (size * size);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients against differences of values, Hessians against differences of gradients.
    #[test]
    fn derivatives_match_differences() {
        let psi = [0.4, 0.7, -0.3, 0.9, 0.2, -0.5, 0.8];
        let goals = [
            Goal::Linear(vec![1.0, -2.0, 0.0, 0.5, 0.0, 0.0, 3.0]),
            Goal::Sd(vec![2, 3]),
            Goal::Sd(vec![1]),
            Goal::Angle(vec![1], vec![2, 3]),
            Goal::Angle(vec![2, 3], vec![4, 5, 6]),
            Goal::Angle(vec![1], vec![4, 5, 6]),
            Goal::Share(Share {
                row: vec![1],
                products: vec![(1, 1, 1.0), (2, 2, 1.0), (1, 2, 0.5)],
                logs: vec![(6, 1.0)],
                constant: 0.0,
            }),
            Goal::Share(Share {
                row: vec![2, 3],
                products: vec![(2, 2, 1.0), (3, 3, 1.0), (4, 4, 1.0)],
                logs: Vec::new(),
                constant: 3.29,
            }),
        ];
        for goal in goals {
            let at = goal.local(&psi);
            let moved = |j: usize, h: f64| {
                let mut x = psi;
                x[j] += h;
                goal.local(&x)
            };
            for j in 0..psi.len() {
                let (up, down) = (moved(j, 1e-5), moved(j, -1e-5));
                let slope = (up.value - down.value) / 2e-5;
                assert!((slope - at.gradient[j]).abs() < 1e-9, "{goal:?} {j}");
                for i in 0..psi.len() {
                    let bend = (up.gradient[i] - down.gradient[i]) / 2e-5;
                    let exact = at.hessian.as_ref().map_or(0.0, |h| h[i * psi.len() + j]);
                    assert!((bend - exact).abs() < 1e-8, "{goal:?} {i} {j}: {bend} {exact}");
                }
            }
        }
    }
}
