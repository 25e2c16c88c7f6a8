//! Sufficient statistics of a linear mixed model: sums over rows, taken once.
//!
//! With the columns W = [Q e], Q a well-conditioned basis of the columns of X and e the response less
//! its regression on them, the likelihood needs the rows only through W'W, Z'W and Z'Z. The basis and
//! the regression keep the digits that cross-products of raw columns would lose.

use crate::linalg::dense;
use crate::linalg::sums::dot;

/// Sums over rows that enter the random effects.
pub trait RowSums {
    /// Length of a vector of effects, and of a matrix on the pattern of Z'Z.
    fn vector_len(&self) -> usize;
    fn matrix_len(&self) -> usize;
    /// out += Z'row.
    fn sum(&self, row: &[f64], out: &mut [f64]);
    /// out += Z' diag(row) Z.
    fn sum_outer(&self, row: &[f64], out: &mut [f64]);
}

/// W'W, Z'W and Z'Z, rows counted by their weights. Moments of disjoint rows of the same levels add up.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Sum of the frequency weights.
    pub n: f64,
    /// Columns of W, p + 1: those of X, then the response.
    pub width: usize,
    /// W'W, row by row.
    pub ww: Vec<f64>,
    /// Z'W, one column after the other.
    pub zw: Vec<f64>,
    /// Z'Z on the pattern.
    pub zz: Vec<f64>,
}

impl Moments {
    /// `columns` are those of X; the response's place is left empty for [`Moments::set_response`].
    pub fn of(rows: &dyn RowSums, columns: &[Vec<f64>], weights: &[f64]) -> Moments {
        let (width, len) = (columns.len() + 1, rows.vector_len());
        let mut moments = Moments {
            n: weights.iter().sum(),
            width,
            ww: vec![0.0; width * width],
            zw: vec![0.0; width * len],
            zz: vec![0.0; rows.matrix_len()],
        };
        rows.sum_outer(weights, &mut moments.zz);
        for (a, x) in columns.iter().enumerate() {
            let wx = product(weights, x);
            (0..=a).for_each(|b| moments.set(a, b, dot(&wx, &columns[b])));
            rows.sum(&wx, &mut moments.zw[a * len..(a + 1) * len]);
        }
        moments
    }

    /// Puts the response `e` in place; `xe` are its products with the columns.
    pub fn set_response(&mut self, rows: &dyn RowSums, e: &[f64], xe: &[f64], weights: &[f64]) {
        let (last, we, len) = (self.width - 1, product(weights, e), rows.vector_len());
        xe.iter().enumerate().for_each(|(a, &x)| self.set(a, last, x));
        self.set(last, last, dot(&we, e));
        let column = &mut self.zw[last * len..];
        column.fill(0.0);
        rows.sum(&we, column);
    }

    fn set(&mut self, a: usize, b: usize, value: f64) {
        self.ww[a * self.width + b] = value;
        self.ww[b * self.width + a] = value;
    }

    /// The moments of the rows of both.
    pub fn merge(mut self, other: &Moments) -> Moments {
        let plus = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        self.n += other.n;
        plus(&mut self.ww, &other.ww);
        plus(&mut self.zw, &other.zw);
        plus(&mut self.zz, &other.zz);
        self
    }
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// X = Q L' with Q'Q nearly the identity, from the Cholesky factor L of X'X.
pub struct Basis {
    l: Vec<f64>,
    p: usize,
}

impl Basis {
    /// `None` when the columns are not independent.
    pub fn new(columns: &[&[f64]], weights: &[f64]) -> Option<Basis> {
        let p = columns.len();
        let mut l = vec![0.0; p * p];
        for (i, x) in columns.iter().enumerate() {
            let wx = product(weights, x);
            (0..=i).for_each(|j| l[i * p + j] = dot(&wx, columns[j]));
        }
        dense::cholesky(&mut l, p).then_some(Basis { l, p })
    }

    /// Q, by columns.
    pub fn columns(&self, x: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut q: Vec<Vec<f64>> = Vec::with_capacity(self.p);
        for (j, x) in x.iter().enumerate() {
            let mut column = x.to_vec();
            for (k, earlier) in q.iter().enumerate() {
                let l = self.l[j * self.p + k];
                column.iter_mut().zip(earlier).for_each(|(c, e)| *c -= l * e);
            }
            let own = self.l[j * self.p + j];
            column.iter_mut().for_each(|c| *c /= own);
            q.push(column);
        }
        q
    }

    /// Q'v from X'v: L^-1 x.
    pub fn forward(&self, x: &mut [f64]) {
        for i in 0..self.p {
            let below: f64 = (0..i).map(|k| self.l[i * self.p + k] * x[k]).sum();
            x[i] = (x[i] - below) / self.l[i * self.p + i];
        }
    }

    /// Coefficients of X from those of Q: L^-T b.
    pub fn backward(&self, b: &mut [f64]) {
        for i in (0..self.p).rev() {
            let above: f64 = (i + 1..self.p).map(|k| self.l[k * self.p + i] * b[k]).sum();
            b[i] = (b[i] - above) / self.l[i * self.p + i];
        }
    }

    /// Coefficients of Q from those of X: L'b.
    pub fn times(&self, b: &[f64]) -> Vec<f64> {
        (0..self.p).map(|i| (i..self.p).map(|k| self.l[k * self.p + i] * b[k]).sum()).collect()
    }

    /// A score of X's coefficients from one of Q's: L g.
    pub fn l_times(&self, g: &[f64]) -> Vec<f64> {
        (0..self.p).map(|i| (0..=i).map(|k| self.l[i * self.p + k] * g[k]).sum()).collect()
    }

    /// L M L': a matrix of Q's coefficients' information in the coefficients of X.
    pub fn sandwich(&self, m: &[f64]) -> Vec<f64> {
        let p = self.p;
        let lm: Vec<f64> =
            (0..p * p).map(|i| (0..=i / p).map(|k| self.l[i / p * p + k] * m[k * p + i % p]).sum()).collect();
        (0..p * p).map(|i| (0..=i % p).map(|k| lm[i / p * p + k] * self.l[i % p * p + k]).sum()).collect()
    }

    /// log |X'X| - log |Q'Q|.
    pub fn log_determinant(&self) -> f64 {
        2.0 * (0..self.p).map(|i| self.l[i * self.p + i].ln()).sum::<f64>()
    }
}

/// The regression of `y` on the columns x: coefficients of x and X'residual; `y` becomes the residual.
/// The second round takes off what rounding left of the first.
pub fn regress(basis: &Basis, x: &[&[f64]], weights: &[f64], y: &mut [f64]) -> (Vec<f64>, Vec<f64>) {
    let products = |y: &[f64]| -> Vec<f64> {
        let wy = product(weights, y);
        x.iter().map(|x| dot(x, &wy)).collect()
    };
    let mut beta = vec![0.0; x.len()];
    for _ in 0..2 {
        let mut b = products(y);
        basis.forward(&mut b);
        basis.backward(&mut b);
        for ((x, b), beta) in x.iter().zip(&b).zip(&mut beta) {
            *beta += b;
            y.iter_mut().zip(*x).for_each(|(y, x)| *y -= b * x);
        }
    }
    (beta, products(y))
}
