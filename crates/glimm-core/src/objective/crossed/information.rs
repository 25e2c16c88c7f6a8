//! Average information: a cheap positive definite stand-in for the negative Hessian.
//!
//! With the working model y* = eta + r/W, V = W^-1 + Z Lambda P^-1 Lambda'Z', coefficients get X'V^-1 X
//! and parameters of the factors f_j'V^-1 f_k / 2 with f_j = Z (dLambda u + Lambda P^-1 dLambda'Z'r)
//! (Gilmour, Thompson and Cullis 1995, Biometrics 51, 1440-1450). V^-1 x_j and V^-1 f_j are W deta,
//! deta the tangent of the linear predictors with the modes: one solve per parameter gives both the
//! information and the prediction of the modes.

use super::cells::Cells;
use super::rows::Rows;
use crate::objective::geometry::{Effects, Factors, Geometry};
use crate::objective::laplace::{AtMode, Patch};
use crate::objective::sums::dot;
use crate::objective::tangent::Direction;

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// The information, row by row, and the tangents of the modes along all parameters.
    pub fn information(&mut self, at: &AtMode, directions: &[Direction]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let p = directions.len();
        let mut information = vec![0.0; p * p];
        let mut tangents = Vec::with_capacity(p);
        for (k, direction) in directions.iter().enumerate() {
            let (du, deta) = self.mode_tangent(at, direction);
            tangents.push(du);
            // -W deta
            let weighed: Vec<Vec<f64>> = (0..deta.len()).map(|l| self.second_times(l, &deta)).collect();
            let mut zw = vec![0.0; self.geometry.vector_len()];
            if let Direction::Factor(_) = direction {
                (0..self.random).for_each(|l| self.geometry.sum(l, &weighed[l], &mut zw));
            }
            for (j, other) in directions.iter().enumerate().take(k + 1) {
                let share = match (other, direction) {
                    (Direction::Beta(places), Direction::Beta(_)) => {
                        -places.iter().map(|&(l, j)| dot(self.x(l, j), &weighed[l])).sum::<f64>()
                    }
                    (Direction::Factor(dl), Direction::Factor(_)) => -0.5 * dot(&self.work_effects(at, dl), &zw),
                    _ => 0.0,
                };
                information[j * p + k] = share;
                information[k * p + j] = share;
            }
        }
        (information, tangents)
    }

    /// dLambda u + Lambda P^-1 dLambda'Z'r.
    fn work_effects(&self, at: &AtMode, dl: &Factors) -> Vec<f64> {
        let n = self.geometry.vector_len();
        let (mut b, mut inner, mut outer) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        self.geometry.apply(dl, self.u, &mut b);
        self.geometry.apply_transpose(dl, &at.zr, &mut inner);
        self.geometry.unweigh(&mut inner);
        self.geometry.apply(self.lambda, &inner, &mut outer);
        b.iter_mut().zip(&outer).for_each(|(b, o)| *b += o);
        b
    }
}
